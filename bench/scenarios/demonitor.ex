defmodule Bench.Scenarios.Demonitor do
  @moduledoc false
  # What it costs to remove the monitor of each of many remote processes, with `:flush`.

  @behaviour Bench.Scenario

  alias Bench.{Options, Report, Rounds, Standing}

  @impl true
  def run(options) do
    size = Options.scale(options, 500_000)
    result = Rounds.compare(options, &Standing.prepare(&1, size), &round/2)

    %Report{
      title: "#{size} monitors of remote processes are removed",
      rows: [
        Report.row("CPU, 1 caller", "µs", result.cpu_1, {:ratio, 0.27}),
        Report.row("time in the call, 1 caller", "µs", result.call_1),
        Report.row("CPU, 8 callers", "µs", result.cpu_8, {:ratio, 0.27}),
        Report.row("time in the call, 8 callers", "µs", result.call_8),
        Report.long_schedules(result)
      ]
    }
  end

  defp round(pair, standing) do
    Standing.each(pair, standing, fn callers ->
      Standing.place(pair, callers)
      Standing.remove(pair, callers)
    end)
  end
end
