defmodule Bench.Scenarios.FanOut do
  @moduledoc false
  # One process with many subscribers exits with a reason of 5 KB.

  @behaviour Bench.Scenario

  alias Bench.{Exits, Options, Pair, Subscriber, Targets}

  @impl true
  def run(options) do
    size = Options.scale(options, 20_000)
    title = "one process with #{size} subscribers exits with a reason of 5 KB"
    Exits.report(options, size, title, [local: {:ratio, 0.2}], &round/2)
  end

  defp round(pair, size) do
    target = Pair.remote(pair, Targets, :single, [])
    lists = List.duplicate([target], size)
    group = Pair.local(pair, Subscriber, :start, [pair.contender, lists])
    cost = Pair.measure(pair, fn -> Pair.local(pair, Subscriber, :fan_out, [group, target]) end)
    Pair.local(pair, Subscriber, :stop, [group])
    {_first, last} = cost.result
    %{cost | result: last}
  end
end
