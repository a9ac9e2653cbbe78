defmodule Bench.Scenarios.Set do
  @moduledoc false
  # What it costs to have each of many remote processes in a set, put and deleted by lists of 1,000, and
  # to monitor as many by such lists.

  @behaviour Bench.Scenario

  alias Bench.{Caller, Members, Options, Pair, Report, Resident, Rounds, Standing}

  @impl true
  def run(options) do
    size = Options.scale(options, 500_000)
    result = Rounds.compare(options, &Standing.prepare(&1, size), &round/2)
    own = own(result)

    rows =
      Report.rows(result, [
        {"put, CPU", "µs", :put_cpu, {:ratio, 0.10}},
        {"put, time in the call", "µs", :put_call, {:ratio, 0.08}},
        {"delete, CPU", "µs", :delete_cpu, {:ratio, 0.08}},
        {"delete, time in the call", "µs", :delete_call, nil}
      ])

    lists = [
      own.("monitor_all, CPU", :all_cpu, :one_cpu, nil),
      own.("monitor_all, time in the call", :all_call, :one_call, {:ratio, 0.6}),
      own.("demonitor_all, time in the call", :all_away_call, :one_away_call, nil)
    ]

    %Report{title: "#{size} remote processes in a set", rows: rows ++ [memory(options)] ++ lists}
  end

  # Against the calls for one monitor of the same contender.
  defp own(result) do
    fn figure, all, one, target ->
      baseline = [{"ZenMonitor.monitor/1", result[one].zen_monitor}]
      Report.row(figure, "µs", result[all].zen_monitor, baseline, target)
    end
  end

  defp round(pair, size) do
    callers = {Standing.caller(pair, size), size}
    {put_cpu, put_call} = Members.put(pair, callers)
    {delete_cpu, delete_call} = Members.delete(pair, callers)
    # What the set keeps for its next members is not a cost of what follows.
    Pair.local(pair, Caller, :stop, [elem(callers, 0)])
    callers = {Standing.caller(pair, size), size}
    {one_cpu, one_call} = Standing.place(pair, callers)
    {_, one_away_call} = Standing.remove(pair, callers)
    {all_cpu, all_call} = Members.monitor(pair, callers)
    {_, all_away_call} = Members.demonitor(pair, callers)
    Pair.local(pair, Caller, :stop, [elem(callers, 0)])

    %{
      put_cpu: put_cpu,
      put_call: put_call,
      delete_cpu: delete_cpu,
      delete_call: delete_call,
      one_cpu: one_cpu,
      one_call: one_call,
      one_away_call: one_away_call,
      all_cpu: all_cpu,
      all_call: all_call,
      all_away_call: all_away_call
    }
  end

  defp memory(options) do
    size = Options.scale(options, 500_000)
    result = Resident.compare(options, size, 3, &Members.put/2, &Members.delete/2)
    Report.row("resident", "bytes", result.resident, {:ratio, 0.45})
  end
end
