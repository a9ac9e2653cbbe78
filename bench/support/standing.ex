defmodule Bench.Standing do
  @moduledoc false
  # Monitors that are placed and removed again, and what that costs.

  alias Bench.{Caller, Options, Pair, Report, Rounds, Targets}

  @typedoc "Callers, and how many targets they have together."
  @type callers :: {[Caller.t()], pos_integer}

  @typedoc "CPU time of the local VM until settled, and time until the last call returned, in µs each."
  @type cost :: {cpu :: float, call :: float}

  @doc """
  Compares what one caller and eight take for each of 500,000 targets. A round returns the figures of
  `each/3`, for which `targets` are given, and of `more`.
  """
  @spec report(
          Options.t(),
          String.t(),
          [cpu: Report.target(), call: Report.target()],
          (Pair.t(), pos_integer -> %{atom => float}),
          [Report.figure()]
        ) :: Report.t()
  def report(options, title, targets, round, more \\ []) do
    size = Options.scale(options, 500_000)
    result = Rounds.compare(options, &prepare(&1, size), round)

    figures = [
      {"CPU, 1 caller", "µs", :cpu_1, targets[:cpu]},
      {"time in the call, 1 caller", "µs", :call_1, targets[:call]},
      {"CPU, 8 callers", "µs", :cpu_8, targets[:cpu]},
      {"time in the call, 8 callers", "µs", :call_8, targets[:call]}
    ]

    %Report{title: "#{size} #{title}", rows: Report.rows(result, figures ++ more)}
  end

  @doc "Has the remote node start so many targets, and returns how many."
  @spec prepare(Pair.t(), size) :: size when size: pos_integer
  def prepare(pair, size) do
    Pair.remote(pair, Targets, :add, [size])
    size
  end

  @doc "Starts a caller that has so many targets and no monitor yet."
  @spec caller(Pair.t(), pos_integer) :: [Caller.t()]
  def caller(pair, amount), do: start_callers(pair, 1, amount)

  @doc "Starts a caller that monitors so many targets, and returns when all has settled."
  @spec start(Pair.t(), pos_integer) :: [Caller.t()]
  def start(pair, amount) do
    callers = caller(pair, amount)
    Pair.local(pair, Caller, :monitor, [callers])
    Pair.settle(pair)
    callers
  end

  @doc "The cost of what is done by one caller and by eight, who share so many targets."
  @spec each(Pair.t(), pos_integer, (callers -> cost)) :: %{atom => float}
  def each(pair, size, function) do
    {cpu_1, call_1} = with_callers(pair, size, 1, function)
    {cpu_8, call_8} = with_callers(pair, size, 8, function)
    %{cpu_1: cpu_1, call_1: call_1, cpu_8: cpu_8, call_8: call_8}
  end

  @doc "Has all callers make as many references as they have targets, and do nothing else."
  @spec list(Pair.t(), callers) :: cost
  def list(pair, callers), do: cost(pair, callers, :list)

  @doc "Has all callers place their monitors."
  @spec place(Pair.t(), callers) :: cost
  def place(pair, callers), do: cost(pair, callers, :monitor)

  @doc "Has all callers remove their monitors."
  @spec remove(Pair.t(), callers) :: cost
  def remove(pair, callers), do: cost(pair, callers, :demonitor)

  defp cost(pair, {callers, amount}, function) do
    cost = Pair.measure(pair, fn -> Pair.local(pair, Caller, function, [callers]) end)
    {cost.local / amount, cost.result / amount}
  end

  defp with_callers(pair, size, number, function) do
    callers = start_callers(pair, number, size)
    cost = function.({callers, size})
    Pair.local(pair, Caller, :stop, [callers])
    cost
  end

  defp start_callers(pair, number, amount) do
    Pair.local(pair, Caller, :start, [pair.contender, pair.remote.node, number, 0, amount])
  end
end
