defmodule ZenMonitor.Restarts do
  @moduledoc false
  # What all supervisors of this package share.

  # Milliseconds.
  @patience 5_000

  # The state is outside of the processes, so a restart costs nobody anything. To give up would cost every
  # monitor of this node.
  def limit, do: [max_restarts: 1_000, max_seconds: 5]

  # When a supervisor is killed, its children may live on for a moment, with their names.
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
