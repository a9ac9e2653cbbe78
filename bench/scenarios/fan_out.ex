defmodule Bench.Scenarios.FanOut do
  @moduledoc false
  # One process with many subscribers exits with a reason of 5 KB.

  @behaviour Bench.Scenario

  alias Bench.{Options, Pair, Report, Rounds, Subscriber, Targets}

  @impl true
  def run(options) do
    size = Options.scale(options, 20_000)
    result = Rounds.compare(options, fn _pair -> size end, &round/2)

    %Report{
      title: "one process with #{size} subscribers exits with a reason of 5 KB",
      rows:
        Report.rows(result, [
          {"local CPU per :DOWN", "µs", :local, {:ratio, 0.2}},
          {"remote CPU per :DOWN", "µs", :remote, nil},
          {"time per :DOWN", "µs", :wall, nil}
        ])
    }
  end

  defp round(pair, size) do
    target = Pair.remote(pair, Targets, :single, [])
    lists = List.duplicate([target], size)
    group = Pair.local(pair, Subscriber, :start, [pair.contender, lists])
    cost = Pair.measure(pair, fn -> Pair.local(pair, Subscriber, :fan_out, [group, target]) end)
    Pair.local(pair, Subscriber, :stop, [group])
    {_first, last} = cost.result
    %{local: cost.local / size, remote: cost.remote / size, wall: last / size}
  end
end
