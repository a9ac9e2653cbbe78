defmodule Bench.Members do
  @moduledoc false
  # What callers do with whole lists: in a set, or with a reference for each. Who has no sets does it one by one.

  alias Bench.{Caller, Contender, Pair, Standing}
  alias ZenMonitor.Set

  # How many are put by one call.
  @list 1_000

  @doc "Has the callers put their targets into a set each. Returns the cost of a member."
  @spec put(Pair.t(), Standing.callers()) :: Standing.cost()
  def put(pair, callers), do: cost(pair, callers, :put_lists)

  @doc "Has them delete what they put."
  @spec delete(Pair.t(), Standing.callers()) :: Standing.cost()
  def delete(pair, callers), do: cost(pair, callers, :delete_lists)

  @doc "Has them monitor their targets by lists."
  @spec monitor(Pair.t(), Standing.callers()) :: Standing.cost()
  def monitor(pair, callers), do: cost(pair, callers, :monitor_lists)

  @doc "Has them remove those monitors."
  @spec demonitor(Pair.t(), Standing.callers()) :: Standing.cost()
  def demonitor(pair, callers), do: cost(pair, callers, :demonitor_lists)

  defp cost(pair, {callers, amount}, function) do
    cost = Pair.measure(pair, fn -> Pair.local(pair, __MODULE__, function, [callers]) end)
    {cost.local / amount, cost.result / amount}
  end

  @doc "Runs in the VM of the callers. Returns the µs until the last is through."
  @spec put_lists([Caller.t()]) :: non_neg_integer
  def put_lists(callers), do: run(callers, &put_into_set/2)

  @doc "The same."
  @spec delete_lists([Caller.t()]) :: non_neg_integer
  def delete_lists(callers), do: run(callers, &delete_from_set/2)

  @doc "The same."
  @spec monitor_lists([Caller.t()]) :: non_neg_integer
  def monitor_lists(callers), do: run(callers, &monitor_all/2)

  @doc "The same."
  @spec demonitor_lists([Caller.t()]) :: non_neg_integer
  def demonitor_lists(callers), do: run(callers, &demonitor_all/2)

  # The lists are cut before the clock starts. What the function returns is kept as the caller's references.
  defp run(callers, function) do
    callers
    |> Caller.run(fn state ->
      {time, refs} = function |> prepared(state) |> :timer.tc()
      {time, %{state | refs: refs}}
    end)
    |> Enum.max()
  end

  defp prepared(function, state), do: function.(state.contender, state)

  defp put_into_set(:zen_monitor, state) do
    {set, lists} = {Set.new(), Enum.chunk_every(state.pids, @list)}

    fn ->
      for list <- lists, do: Set.put(set, list)
      set
    end
  end

  defp put_into_set(contender, state), do: fn -> Contender.monitor(contender, state.pids) end

  defp delete_from_set(:zen_monitor, %{refs: set, pids: pids}) do
    lists = Enum.chunk_every(pids, @list)
    fn -> Enum.each(lists, &Set.delete(set, &1)) end
  end

  defp delete_from_set(contender, state), do: demonitor_each(contender, state)

  defp monitor_all(:zen_monitor, state) do
    lists = Enum.chunk_every(state.pids, @list)
    fn -> for list <- lists, do: ZenMonitor.monitor_all(list) end
  end

  defp monitor_all(contender, state), do: fn -> Contender.monitor(contender, state.pids) end

  defp demonitor_all(:zen_monitor, state) do
    fn -> Enum.each(state.refs, &ZenMonitor.demonitor_all/1) end
  end

  defp demonitor_all(contender, state), do: demonitor_each(contender, state)

  defp demonitor_each(contender, state), do: fn -> Contender.demonitor(contender, state.refs) end
end
