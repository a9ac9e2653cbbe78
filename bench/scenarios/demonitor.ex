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
      rows:
        Report.rows(result, [
          {"CPU, 1 caller", "µs", :cpu_1, {:ratio, 0.27}},
          {"time in the call, 1 caller", "µs", :call_1, nil},
          {"CPU, 8 callers", "µs", :cpu_8, {:ratio, 0.27}},
          {"time in the call, 8 callers", "µs", :call_8, nil}
        ])
    }
  end

  defp round(pair, standing) do
    Standing.each(pair, standing, fn callers ->
      Standing.place(pair, callers)
      Standing.remove(pair, callers)
    end)
  end
end
