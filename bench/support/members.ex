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
    Pair.local(pair, __MODULE__, :cut, [callers])
    cost = Pair.measure(pair, fn -> Pair.local(pair, __MODULE__, function, [callers]) end)
    {cost.local / amount, cost.result / amount}
  end

  @doc """
  Has the callers cut what they have into the lists that the next call takes: their targets and their references.
  That is no part of what the call costs, and leaves no garbage that would be collected meanwhile.
  """
  @spec cut([Caller.t()]) :: [:ok]
  def cut(callers) do
    Caller.run(callers, fn state -> {:ok, %{state | refs: flat(state.refs)}} end)
    # A collection leaves the elements of one list side by side, and those of many lists in turns.
    Caller.collect(callers)
    Caller.run(callers, fn state -> {:ok, Map.put(state, :lists, lists(state))} end)
  end

  defp flat(refs) when is_list(refs), do: List.flatten(refs)
  defp flat(set), do: set

  defp lists(%{pids: pids, refs: refs}), do: {chunks(pids), if(is_list(refs), do: chunks(refs))}

  defp chunks([]), do: []
  defp chunks(list), do: [first(list, @list) | list |> Enum.drop(@list) |> chunks()]

  # Not `Enum.chunk_every/2`, which leaves as much garbage again.
  defp first([], _amount), do: []
  defp first(_list, 0), do: []
  defp first([element | rest], amount), do: [element | first(rest, amount - 1)]

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

  # What the function returns is kept as the caller's references.
  defp run(callers, function) do
    callers
    |> Caller.run(fn state ->
      {time, refs} = :timer.tc(fn -> function.(state.contender, state) end)
      {time, state |> Map.delete(:lists) |> Map.put(:refs, refs)}
    end)
    |> Enum.max()
  end

  defp put_into_set(:zen_monitor, %{lists: {pids, _refs}}) do
    set = Set.new()
    Enum.each(pids, &Set.put(set, &1))
    set
  end

  defp put_into_set(contender, state), do: Contender.monitor(contender, state.pids)

  defp delete_from_set(:zen_monitor, %{lists: {pids, _refs}, refs: set}) do
    Enum.each(pids, &Set.delete(set, &1))
    []
  end

  defp delete_from_set(contender, state), do: demonitor_each(contender, state)

  defp monitor_all(:zen_monitor, %{lists: {pids, _refs}}) do
    for list <- pids, do: ZenMonitor.monitor_all(list)
  end

  defp monitor_all(contender, state), do: Contender.monitor(contender, state.pids)

  defp demonitor_all(:zen_monitor, %{lists: {_pids, refs}}) do
    Enum.each(refs, &ZenMonitor.demonitor_all/1)
    []
  end

  defp demonitor_all(contender, state), do: demonitor_each(contender, state)

  defp demonitor_each(contender, state) do
    Contender.demonitor(contender, state.refs)
    []
  end
end
