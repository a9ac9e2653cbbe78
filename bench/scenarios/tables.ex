defmodule Bench.Scenarios.Tables do
  @moduledoc false
  # The native tables compared with tables in ETS: monitors are placed, removed and made due, when none and when many
  # others stand. No other process and no other node takes part.

  @behaviour Bench.Scenario

  alias Bench.{Caller, EtsTables, Micro, NativeTables, Options, Report}

  # Monitors that one run of a job works on.
  @batch 1_000

  @impl true
  def run(options) do
    rows =
      for standing <- [0, Options.scale(options, 1_000_000)] do
        results = measure(standing, options)

        for {verb, job} <- [{"placed", "place"}, {"removed", "remove"}, {"made due", "certify"}] do
          [native, ets] =
            for kind <- ["native", "ETS"],
                do: results[{"#{job}, #{kind}", "#{standing}"}].median / @batch

          Report.row("a monitor is #{verb} beside #{standing}", "ns", native, [{"ETS", ets}], nil)
        end
      end

    %Report{title: "the tables alone, median", rows: Enum.concat(rows)}
  end

  defp measure(standing, options) do
    NativeTables.start()
    ets = EtsTables.start()

    subscriber = if standing > 0, do: NativeTables.subscriber(@batch, standing)
    others = for i <- 1..standing//1, do: NativeTables.pid(@batch + i - 1)
    for pid <- others, do: EtsTables.monitor(ets, pid, subscriber)

    pids = for i <- 0..(@batch - 1), do: NativeTables.pid(i)
    results = Micro.run(jobs(ets, pids), %{"#{standing}" => nil}, options)
    ^standing = NativeTables.standing()
    ^standing = :ets.info(ets.references, :size)
    NativeTables.stop()
    EtsTables.stop(ets)
    if subscriber, do: Process.exit(subscriber, :kill)
    results
  end

  defp jobs(ets, pids) do
    place = fn _ -> for pid <- pids, do: ZenMonitor.monitor(pid) end
    remove = fn refs -> for ref <- refs, do: ZenMonitor.demonitor(ref) end
    ets_place = fn _ -> for pid <- pids, do: EtsTables.monitor(ets, pid, self()) end
    ets_remove = fn refs -> for ref <- refs, do: EtsTables.demonitor(ets, ref) end
    certificates = for pid <- pids, do: {pid, :normal}

    %{
      "place, native" => {place, after_each: &settled(remove.(&1))},
      "place, ETS" => {ets_place, after_each: ets_remove},
      "remove, native" => {remove, before_each: &settled(place.(&1)), after_each: &settled/1},
      "remove, ETS" => {ets_remove, before_each: ets_place},
      "certify, native" => {
        fn _ -> NativeTables.certify(certificates) end,
        before_each: &settled(place.(&1)), after_each: fn _ -> deliver() end
      },
      "certify, ETS" => {
        fn _ -> EtsTables.certify(ets, certificates, :queue.new()) end,
        before_each: ets_place, after_each: &ets_deliver(ets, &1)
      }
    }
  end

  defp settled(result) do
    NativeTables.settle()
    result
  end

  defp deliver do
    @batch = NativeTables.deliver()
    Caller.await(@batch)
  end

  defp ets_deliver(ets, queue) do
    @batch = EtsTables.deliver(ets, queue)
    Caller.await(@batch)
  end
end
