defmodule Mix.ZenMonitor.Demo.Remote do
  @moduledoc false
  # What the demonstration has the other node do.

  def spawn_idle(count), do: for(_ <- 1..count, do: spawn(Process, :sleep, [:infinity]))

  def kill(pids), do: Enum.each(pids, &Process.exit(&1, :kill))

  @doc "A process that exits with a reason of so many entries when it is told to."
  def spawn_stateful(entries) do
    spawn(fn ->
      state = Map.new(1..entries, &{&1, {:member, &1, "a member of the guild"}})
      receive do: (:crash -> exit({:crashed, state}))
    end)
  end
end
