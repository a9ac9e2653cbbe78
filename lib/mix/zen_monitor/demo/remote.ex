defmodule Mix.ZenMonitor.Demo.Remote do
  @moduledoc false
  # What the demonstration has the other node do.

  def spawn_idle(count), do: for(_ <- 1..count, do: spawn(Process, :sleep, [:infinity]))

  def kill(pids), do: Enum.each(pids, &Process.exit(&1, :kill))

  @doc """
  A process that exits with a reason of as many entries as it is told.

  It exits by itself. If the reason were sent as an exit signal to a process that many others monitor from afar, OTP 25
  would never come to an end with it.
  """
  def spawn_stateful do
    spawn(fn ->
      receive do
        {:crash, entries} -> exit({:crashed, Map.new(1..entries, &member/1)})
        :leave -> :ok
      end
    end)
  end

  defp member(number), do: {number, {:member, number, "a member of the guild"}}
end
