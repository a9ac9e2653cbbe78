defmodule ZenMonitor.Restarts do
  @moduledoc false
  # What the supervisors have in common.

  # Milliseconds.
  @patience 5_000

  # The state is outside the processes, so a restart is cheap and costs nobody anything. Giving up
  # would cost every monitor of this node.
  def limit, do: [max_restarts: 1_000, max_seconds: 5]

  # A supervisor that was killed may be gone before its children have noticed, and their names are
  # not free until then.
  def await_former(names) do
    for name <- names, pid = Process.whereis(name) do
      monitor = Process.monitor(pid)

      receive do
        {:DOWN, ^monitor, :process, _, _} -> :ok
      after
        @patience -> Process.demonitor(monitor, [:flush])
      end
    end

    :ok
  end
end
