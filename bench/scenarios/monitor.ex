defmodule Bench.Scenarios.Monitor do
  @moduledoc false
  # What it costs to monitor each of many remote processes, by one caller and by eight at once.

  @behaviour Bench.Scenario

  alias Bench.{Options, Report, Rounds, Standing}

  @impl true
  def run(options) do
    size = Options.scale(options, 500_000)
    result = Rounds.compare(options, &Standing.prepare(&1, size), &round/2)

    %Report{
      title: "#{size} remote processes are monitored",
      rows:
        Report.rows(result, [
          {"CPU, 1 caller", "µs", :cpu_1, {:ratio, 0.22}},
          {"time in the call, 1 caller", "µs", :call_1, {:ratio, 0.15}},
          {"CPU, 8 callers", "µs", :cpu_8, {:ratio, 0.22}},
          {"time in the call, 8 callers", "µs", :call_8, {:ratio, 0.15}},
          {"a list of references alone, 1 caller", "µs", :list_1, nil},
          {"a list of references alone, 8 callers", "µs", :list_8, nil}
        ])
    }
  end

  defp round(pair, standing) do
    monitors =
      Standing.each(pair, standing, fn callers ->
        cost = Standing.place(pair, callers)
        Standing.remove(pair, callers)
        cost
      end)

    list = Standing.each(pair, standing, &Standing.list(pair, &1))
    Map.merge(monitors, %{list_1: list.call_1, list_8: list.call_8})
  end
end
