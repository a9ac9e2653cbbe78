defmodule Bench.Scenarios.MassExit do
  @moduledoc false
  # All monitored processes are killed one after the other, as fast as the remote node can. No
  # budget holds the messages back.

  @behaviour Bench.Scenario

  alias Bench.{Caller, Options, Pair, Report, Rounds, Targets}

  @impl true
  def run(options) do
    size = Options.scale(options, 200_000)
    result = Rounds.compare(options, fn _pair -> size end, &round/2)

    %Report{
      title: "#{size} monitored processes are killed",
      rows:
        Report.rows(result, [
          {"local CPU per :DOWN", "µs", :local, {:ratio, 0.55}},
          {"remote CPU per exit", "µs", :remote, nil},
          {"time per :DOWN", "µs", :wall, {:ratio, 1.0}}
        ])
    }
  end

  defp round(pair, size) do
    Pair.remote(pair, Targets, :add, [size])
    callers = Pair.local(pair, Caller, :start, [pair.contender, pair.remote.node, 1, 0, size])
    Pair.local(pair, Caller, :monitor, [callers])
    cost = Pair.measure(pair, fn -> Pair.local(pair, Caller, :mass_exit, [callers]) end)
    Pair.local(pair, Caller, :stop, [callers])
    %{local: cost.local / size, remote: cost.remote / size, wall: cost.result / size}
  end
end
