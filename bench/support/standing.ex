defmodule Bench.Standing do
  @moduledoc false
  # Monitors that are placed and removed again, and what that costs.

  alias Bench.{Caller, Pair, Targets}

  @enforce_keys [:size]
  defstruct @enforce_keys

  @type t :: %__MODULE__{size: pos_integer}

  @typedoc "CPU time of the local VM until settled, and time until the last call returned, in µs each."
  @type cost :: {cpu :: float, call :: float}

  @doc "Has the remote node start so many targets."
  @spec prepare(Pair.t(), pos_integer) :: t
  def prepare(pair, size) do
    Pair.remote(pair, Targets, :add, [size])
    %__MODULE__{size: size}
  end

  @doc "Starts a caller that monitors so many targets, and returns when all has settled."
  @spec start(Pair.t(), pos_integer) :: [Caller.t()]
  def start(pair, amount) do
    callers = Pair.local(pair, Caller, :start, [pair.contender, pair.remote.node, 1, 0, amount])
    Pair.local(pair, Caller, :monitor, [callers])
    Pair.settle(pair)
    callers
  end

  @doc "The cost of what is done by one caller and by eight."
  @spec each(Pair.t(), t, (callers -> cost)) :: %{atom => float}
        when callers: {[pid], pos_integer}
  def each(pair, standing, function) do
    {cpu_1, call_1} = with_callers(pair, standing, 1, function)
    {cpu_8, call_8} = with_callers(pair, standing, 8, function)
    %{cpu_1: cpu_1, call_1: call_1, cpu_8: cpu_8, call_8: call_8}
  end

  @doc "Has all callers make as many references as they have targets, and do nothing else."
  @spec list(Pair.t(), {[pid], pos_integer}) :: cost
  def list(pair, callers), do: cost(pair, callers, :list)

  @doc "Has all callers place their monitors."
  @spec place(Pair.t(), {[pid], pos_integer}) :: cost
  def place(pair, callers), do: cost(pair, callers, :monitor)

  @doc "Has all callers remove their monitors."
  @spec remove(Pair.t(), {[pid], pos_integer}) :: cost
  def remove(pair, callers), do: cost(pair, callers, :demonitor)

  defp cost(pair, {callers, amount}, function) do
    cost = Pair.measure(pair, fn -> Pair.local(pair, Caller, function, [callers]) end)
    {cost.local / amount, cost.result / amount}
  end

  defp with_callers(pair, standing, number, function) do
    args = [pair.contender, pair.remote.node, number, 0, standing.size]
    callers = Pair.local(pair, Caller, :start, args)
    cost = function.({callers, standing.size})
    Pair.local(pair, Caller, :stop, [callers])
    cost
  end
end
