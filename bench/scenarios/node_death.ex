defmodule Bench.Scenarios.NodeDeath do
  @moduledoc false
  # The connection to a node with many monitored processes is cut. No budget holds the messages back.
  # Meanwhile, an unrelated process waits for timers of 1 ms.

  @behaviour Bench.Scenario

  alias Bench.{Caller, Chart, Contender, Options, Pair, Report, Rounds, Stall, Standing, Targets}

  @steps [0.25, 0.5, 1.0]

  @impl true
  def run(options) do
    size = Options.scale(options, 200_000)
    settings = [rounds: Options.rounds(options, 5)]
    result = Rounds.compare(options, settings, &prepare(&1, size), &round(&1, &2, size))

    %Report{
      title: "the node of #{size} monitored processes goes down",
      rows:
        Report.rows(result, [
          {"time per :DOWN", "µs", {:wall, 1.0}, {:ratio, 1.0}},
          {"local CPU per :DOWN", "µs", :cpu, nil},
          {"longest stall of an unrelated process", "ms", {:stall, 1.0}, {:at_most, 2}},
          {"the same while nothing happens", "ms", :stall_idle, nil},
          {"the same while a process sends as many messages", "ms", :stall_flood, nil}
        ]),
      charts: [
        {"node_death", chart(result, size, :wall, "time per :DOWN, µs")},
        {"node_death_stall",
         chart(result, size, :stall, "longest stall of an unrelated process, ms")}
      ]
    }
  end

  defp chart(result, size, figure, title) do
    series =
      for contender <- [:zen_monitor, :process, :v2], result[{figure, 1.0}][contender] do
        points = for step <- @steps, do: [step * size, result[{figure, step}][contender]]
        %{name: Contender.name(contender), points: points}
      end

    %Chart{title: "A node goes down: #{title}", x: "monitored processes", y: "", series: series}
  end

  defp prepare(pair, size), do: Pair.remote(pair, Targets, :add, [size])

  defp round(pair, _prepared, size) do
    steps = for step <- @steps, do: {step, death(pair, round(step * size))}
    {1.0, whole} = List.last(steps)

    figures =
      for {step, death} <- steps, figure <- [:wall, :stall], do: {{figure, step}, death[figure]}

    figures
    |> Map.new()
    |> Map.merge(Map.take(whole, [:cpu, :stall_idle]))
    |> Map.put(:stall_flood, flood(pair, size))
  end

  defp death(pair, size) do
    callers = Standing.start(pair, size)
    {_, idle} = Stall.during(pair, fn -> Process.sleep(200) end)
    cut = fn -> Pair.local(pair, Caller, :node_death, [callers]) end
    cost = Pair.measure(pair, fn -> Stall.during(pair, cut) end)
    Pair.local(pair, Caller, :stop, [callers])
    Pair.connect(pair)
    {wall, longest} = cost.result
    %{wall: wall / size, cpu: cost.local / size, stall: longest / 1_000, stall_idle: idle / 1_000}
  end

  # The stall without any monitor.
  defp flood(pair, size) do
    callers = Standing.start(pair, size)
    {_, longest} = Stall.during(pair, fn -> Pair.local(pair, Caller, :flood, [callers]) end)
    Pair.local(pair, Caller, :stop, [callers])
    Pair.settle(pair)
    longest / 1_000
  end
end
