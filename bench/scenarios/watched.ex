defmodule Bench.Scenarios.Watched do
  @moduledoc false
  # What it costs the node whose processes are monitored, and both together: when the monitors are placed,
  # while they stand, and when the processes exit. That costs by itself, and is measured first. How long the
  # processes run that hold the ERTS monitors is taken in a round of its own, since the tracing costs, too.

  @behaviour Bench.Scenario

  alias Bench.{Caller, Holding, Options, Pair, Report, Resources, Rounds, Targets}

  @impl true
  def run(options) do
    size = Options.scale(options, 300_000)
    settings = [rounds: Options.rounds(options, 5), fresh: true, settings: :quick]
    result = Rounds.compare(options, settings, fn _pair -> size end, &round/2)

    %Report{
      title: "#{size} processes are monitored, on their node",
      rows:
        Report.rows(result, [
          {"placing, CPU of both nodes", "µs", :place_both, {:ratio, 0.33}},
          {"placing, CPU of the watched node", "µs", :place, {:ratio, 0.6}},
          {"resident on the watched node", "bytes", :resident, {:ratio, 0.85}},
          {"exit alone, CPU of the watched node", "µs", :alone, nil},
          {"exit, CPU of the watched node beyond that", "µs", :exit, {:ratio, 0.35}},
          {"exit, CPU of both nodes beyond that", "µs", :exit_both, {:ratio, 0.28}}
        ]) ++ running(result)
    }
  end

  # `Process.monitor/1` has no such process.
  defp running(result) do
    for {name, figure, target} <- [
          {"the Proxy and its holders run, for a subscription", :place_all, nil},
          {"the same, the longest of them", :place_longest, nil},
          {"the Proxy and its holders run, for an exit", :exit_all, nil},
          {"the same, the longest of them", :exit_longest, {:at_most, 0.5}}
        ] do
      Report.row(name, "µs", Map.delete(result[figure], :process), target)
    end
  end

  defp round(pair, size) do
    alone = alone(pair, size)
    Pair.remote(pair, Targets, :add, [size])
    callers = Pair.local(pair, Caller, :start, [pair.contender, pair.remote.node, 1, 0, size])
    empty = resident(pair)
    place = Pair.measure(pair, fn -> Pair.local(pair, Caller, :monitor, [callers]) end)
    full = resident(pair)
    exit = Pair.measure(pair, fn -> Pair.local(pair, Caller, :mass_exit, [callers]) end)
    Pair.local(pair, Caller, :stop, [callers])

    Map.merge(Holding.measure(pair, size), %{
      place_both: (place.local + place.remote) / size,
      place: place.remote / size,
      resident: (full - empty) / size,
      alone: alone / size,
      exit: (exit.remote - alone) / size,
      exit_both: (exit.local + exit.remote - alone) / size
    })
  end

  defp alone(pair, size) do
    Pair.remote(pair, Targets, :add, [size])
    Pair.measure(pair, fn -> Pair.remote(pair, Targets, :kill, []) end).remote
  end

  defp resident(pair) do
    Pair.settle(pair)
    Resources.resident_at_rest(pair.remote.os_pid)
  end
end
