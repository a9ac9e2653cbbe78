defmodule Mix.ZenMonitor.Demo.Remote do
  @moduledoc false
  # What the demonstration has the other node do.

  def spawn_idle(count), do: for(_ <- 1..count, do: spawn(Process, :sleep, [:infinity]))

  def kill(pids), do: Enum.each(pids, &Process.exit(&1, :kill))

  @doc "Has a process exit with a reason of so many entries."
  def crash(pid, entries) do
    state = Map.new(1..entries, &{&1, {:member, &1, "a member of the guild"}})
    Process.exit(pid, {:crashed, state})
  end
end
