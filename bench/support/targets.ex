defmodule Bench.Targets do
  @moduledoc false
  # The processes that are monitored. Runs in the VM of the remote node. A process of this name knows all of
  # them.

  @doc "Adds processes that do nothing. They hibernate, so they are as small as possible."
  @spec add(pos_integer) :: :ok
  def add(amount) do
    if Process.whereis(__MODULE__) == nil,
      do: {:ok, _} = Agent.start(fn -> [] end, name: __MODULE__)

    Agent.update(__MODULE__, &spawn_idle(amount, &1), :infinity)
  end

  @doc "The processes from the nth on, at most so many."
  @spec slice(non_neg_integer, pos_integer) :: [pid]
  def slice(from, amount), do: Agent.get(__MODULE__, &Enum.slice(&1, from, amount), :infinity)

  @doc "Puts them in random order."
  @spec shuffle() :: :ok
  def shuffle, do: Agent.update(__MODULE__, &Enum.shuffle/1, :infinity)

  @doc "Ends all of them and returns at once."
  @spec kill() :: :ok
  def kill do
    Agent.cast(__MODULE__, fn pids ->
      Enum.each(pids, &Process.exit(&1, :kill))
      []
    end)
  end

  @doc "Starts a process that exits with the reason that it is sent, or with a reason of 5 KB."
  @spec single() :: pid
  def single do
    spawn(fn ->
      receive do
        :crash -> exit({:crash, Enum.to_list(1..320)})
        {:exit, reason} -> exit(reason)
      end
    end)
  end

  @doc "The pid of a dead process."
  @spec dead() :: pid
  def dead do
    {pid, ref} = spawn_monitor(fn -> :ok end)
    receive do: ({:DOWN, ^ref, _, _, _} -> pid)
  end

  @doc false
  def idle, do: receive(do: (:never -> :ok))

  defp spawn_idle(0, pids), do: pids

  defp spawn_idle(amount, pids) do
    spawn_idle(amount - 1, [spawn(:erlang, :hibernate, [__MODULE__, :idle, []]) | pids])
  end
end
