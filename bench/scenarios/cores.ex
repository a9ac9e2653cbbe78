defmodule Bench.Scenarios.Cores do
  @moduledoc false
  # Whether a mass subscription and a mass exit are bounded by one process of the watched node, however many schedulers
  # this has.

  @behaviour Bench.Scenario

  alias Bench.{Holding, Options, Pair, Report, Rounds, Targets}

  @schedulers [1, 2, 4, 8]
  @figures [
    {"subscriptions", :place_longest, :place_all},
    {"exits", :exit_longest, :exit_all}
  ]

  @impl true
  def run(options) do
    size = Options.scale(options, 300_000)

    results =
      for schedulers <- @schedulers do
        settings = [fresh: true, settings: :quick, schedulers: schedulers]
        settings = [rounds: Options.rounds(options, 3)] ++ settings
        {schedulers, Rounds.compare(options, settings, fn _pair -> size end, &round/2)}
      end

    %Report{
      title: "running times on the watched node with 1 to 8 schedulers, per 100,000",
      rows: Enum.flat_map(@figures, &rows(results, &1))
    }
  end

  defp rows(results, {what, longest, all}) do
    for {kind, figure} <- [{"longest of any process", longest}, {"all", all}],
        {schedulers, result} <- results do
      # `Process.monitor/1` has no such process.
      values = for {who, us} <- result[figure], who != :process, do: {who, us * 100}
      Report.row("#{what}, #{kind}, #{schedulers} schedulers", "ms", Map.new(values), nil)
    end
  end

  # The first only has all code loaded.
  defp round(pair, size) do
    Holding.measure(pair, div(size, 10))
    figures = Holding.measure(pair, size)
    Pair.remote(pair, Targets, :kill, [])
    figures
  end
end
