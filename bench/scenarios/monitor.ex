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
      rows: [
        Report.row("CPU, 1 caller", "µs", result.cpu_1, {:ratio, 0.22}),
        Report.row("time in the call, 1 caller", "µs", result.call_1, {:ratio, 0.15}),
        Report.row("CPU, 8 callers", "µs", result.cpu_8, {:ratio, 0.22}),
        Report.row("time in the call, 8 callers", "µs", result.call_8, {:ratio, 0.15}),
        Report.long_schedules(result)
      ]
    }
  end

  defp round(pair, standing) do
    Standing.each(pair, standing, fn callers ->
      cost = Standing.place(pair, callers)
      Standing.remove(pair, callers)
      cost
    end)
  end
end
