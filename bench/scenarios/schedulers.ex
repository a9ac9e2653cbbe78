defmodule Bench.Scenarios.Schedulers do
  @moduledoc false
  # What other processes on the same scheduler notice. Each VM has one scheduler and a core of its own, so
  # a delay comes from this VM, and not from another one that needs the core.

  @behaviour Bench.Scenario

  alias Bench.{Caller, Options, Pair, Report, Rounds, Stall, Targets}

  # Words of heap for each target, its reference and its message.
  @heap 50

  @impl true
  def run(options) do
    size = Options.scale(options, 200_000)
    settings = [rounds: Options.rounds(options, 5), pinned: true]
    result = Rounds.compare(options, settings, fn _ -> size end, &round/2)

    %Report{
      title: "one scheduler and one core for each node, #{size} monitored processes",
      rows:
        Report.rows(
          result,
          [
            {"longest stall while nothing happens", "ms", :idle, nil},
            {"while all are monitored", "ms", :monitor, nil},
            {"while all are demonitored", "ms", :demonitor, nil},
            {"while all exit", "ms", :mass_exit, nil},
            {"while their node goes down", "ms", :node_death, {:at_most, 2}}
          ],
          {:at_most, 0}
        )
    }
  end

  defp round(pair, size) do
    callers = start(pair, size)
    {_, idle} = Stall.during(pair, fn -> Process.sleep(500) end)

    placed = stall(pair, callers, :monitor)
    removed = stall(pair, callers, :demonitor)
    Pair.local(pair, Caller, :monitor, [callers])
    exited = stall(pair, callers, :mass_exit)
    Pair.local(pair, Caller, :stop, [callers])

    callers = start(pair, size)
    Pair.local(pair, Caller, :monitor, [callers])
    died = stall(pair, callers, :node_death)
    Pair.local(pair, Caller, :stop, [callers])
    Pair.connect(pair)
    Pair.remote(pair, Targets, :kill, [])

    %{
      idle: idle / 1_000,
      monitor: placed,
      demonitor: removed,
      mass_exit: exited,
      node_death: died
    }
  end

  defp start(pair, size) do
    Pair.remote(pair, Targets, :add, [size])
    options = [min_heap_size: size * @heap]
    Pair.local(pair, Caller, :start, [pair.contender, pair.remote.node, 1, 0, size, options])
  end

  # The stall counts until everything has settled, since the call itself is only a small part.
  defp stall(pair, callers, action) do
    Pair.settle(pair)
    act = fn -> Pair.local(pair, Caller, action, [callers]) && Process.sleep(500) end
    {_, longest} = Stall.during(pair, act)
    longest / 1_000
  end
end
