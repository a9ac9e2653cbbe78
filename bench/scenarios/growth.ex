defmodule Bench.Scenarios.Growth do
  @moduledoc false
  # Whether a monitor costs more when others stand already: those of other processes, and those of the same
  # process. Each of the other monitors is on another process of the remote node.

  @behaviour Bench.Scenario

  alias Bench.{Caller, Chart, Contender, Options, Pair, Report, Rounds, Targets}

  # Of the standing ones.
  @steps [0.0, 0.25, 0.5, 1.0]
  @holders 5

  @impl true
  def run(options) do
    standing = Options.scale(options, 2_000_000)

    sizes = %{
      standing: standing,
      batch: Options.scale(options, 200_000),
      one: Options.scale(options, 500_000),
      repeats: options.rounds
    }

    result = Rounds.compare(options, [rounds: 1], &prepare(&1, sizes), &round(&1, &2, sizes))

    rows =
      for {action, name} <- [{:monitor, "monitor"}, {:demonitor, "demonitor"}] do
        [
          against_empty("#{name}, with #{standing} standing", result, action, 1.0),
          against_empty("#{name}, by one that holds #{sizes.one}", result, action, :one)
        ]
      end

    %Report{
      title: "#{sizes.batch} monitors are placed and removed beside those that stand",
      rows: Enum.concat(rows) ++ Report.rows(result, []),
      charts: [{"growth", chart(result, standing, Options.contenders(options))}]
    }
  end

  defp against_empty(figure, result, action, step) do
    empty = result[{action, 0.0}].zen_monitor
    value = result[{action, step}].zen_monitor
    Report.row("CPU of a #{figure}", "µs", value, [{"empty table", empty}], {:ratio, 1.15})
  end

  defp chart(result, standing, contenders) do
    series =
      for {action, verb} <- [{:monitor, "monitor"}, {:demonitor, "demonitor"}],
          contender <- contenders do
        points = for step <- @steps, do: [step * standing, result[{action, step}][contender]]
        %{name: "#{Contender.name(contender)}, #{verb}", points: points}
      end

    %Chart{
      title: "Cost of a monitor beside others",
      x: "standing monitors",
      y: "CPU, µs",
      series: series
    }
  end

  # The batch comes first among the targets, then what stands.
  defp prepare(pair, sizes) do
    Pair.remote(pair, Targets, :add, [sizes.batch + max(sizes.standing, sizes.one)])
  end

  defp round(pair, _prepared, sizes) do
    [batch] = callers(pair, 1, 0, sizes.batch)
    # What the tables have grown to once, they keep.
    cost(pair, batch, %{sizes | repeats: 1})

    {figures, {holders, _}} =
      Enum.flat_map_reduce(@steps, {[], 0}, &step(pair, batch, sizes, &1, &2))

    stop(pair, [batch | holders])
    Pair.settle(pair)
    Map.new(figures ++ one(pair, sizes))
  end

  # Adds what is missing to so many standing monitors, and places and removes the batch.
  defp step(pair, batch, sizes, step, {holders, standing}) do
    more = round(step * sizes.standing) - standing
    added = if more > 0, do: callers(pair, @holders, sizes.batch + standing, more), else: []
    if added != [], do: Pair.local(pair, Caller, :monitor, [added])
    {named(step, cost(pair, batch, sizes)), {added ++ holders, standing + more}}
  end

  defp one(pair, sizes) do
    [caller] = callers(pair, 1, sizes.batch, sizes.one)
    Pair.local(pair, Caller, :monitor, [[caller]])
    :ok = Pair.local(pair, Caller, :fetch, [caller, 0, sizes.batch])
    cost = cost(pair, caller, sizes)
    stop(pair, [caller])
    named(:one, cost)
  end

  defp named(step, {monitor, demonitor}) do
    [{{:monitor, step}, monitor}, {{:demonitor, step}, demonitor}]
  end

  # In µs of CPU of the local VM per monitor.
  defp cost(pair, caller, sizes) do
    costs =
      for _ <- 1..sizes.repeats, function <- [:monitor, :demonitor] do
        {function,
         Pair.measure(pair, fn -> Pair.local(pair, Caller, function, [[caller]]) end).local}
      end

    sum = fn function -> Enum.sum(for {^function, cost} <- costs, do: cost) end
    operations = sizes.repeats * sizes.batch
    {sum.(:monitor) / operations, sum.(:demonitor) / operations}
  end

  defp callers(pair, number, from, amount) do
    Pair.local(pair, Caller, :start, [pair.contender, pair.remote.node, number, from, amount])
  end

  defp stop(pair, callers), do: Pair.local(pair, Caller, :stop, [callers])
end
