defmodule Bench.Scenarios.Dispatch do
  @moduledoc false
  # The dispatch queue alone, native and as a queue beside ETS: how long it takes to deliver the messages that are
  # due, to one subscriber and to many; and what bulk messages save.

  @behaviour Bench.Scenario

  alias Bench.{EtsTables, Micro, NativeTables, Report}
  alias ZenMonitor.Local.Connector

  # Messages that one run of a job delivers.
  @batch 1_000
  @subscribers %{"1 subscriber" => 1, "100 subscribers" => 100}

  @impl true
  def run(options) do
    NativeTables.start()
    ets = EtsTables.start()

    sinks =
      for {name, amount} <- @subscribers, into: %{}, do: {name, for(_ <- 1..amount, do: sink())}

    results = Micro.run(jobs(ets), sinks, options)
    0 = NativeTables.standing()
    0 = :ets.info(ets.references, :size)
    NativeTables.stop()
    EtsTables.stop(ets)
    for sink <- Enum.concat(Map.values(sinks)), do: Process.exit(sink, :kill)

    rows =
      for name <- Map.keys(@subscribers), {job, figure, other} <- figures() do
        [value, baseline] = for job <- [job, other], do: results[{job, name}].median / @batch
        Report.row("#{figure}, #{name}", "ns", value, [{other, baseline}], nil)
      end

    %Report{title: "the dispatch queue alone, median", rows: rows}
  end

  # What is compared with what.
  defp figures do
    [
      {"native", "a :DOWN is delivered", "ETS"},
      {"native, in bulk", "a :DOWN is delivered in bulk", "native"}
    ]
  end

  defp jobs(ets) do
    pids = for i <- 0..(@batch - 1), do: NativeTables.pid(i)
    certificates = for pid <- pids, do: {pid, :normal}

    native = fn monitor ->
      {fn _ -> @batch = NativeTables.deliver() end,
       before_each: fn sinks ->
         each(pids, sinks, monitor)
         NativeTables.settle()
         NativeTables.certify(certificates)
       end}
    end

    %{
      "native" => native.(&Connector.monitor(&1, make_ref(), &2)),
      "native, in bulk" => native.(&NativeTables.monitor_in_bulk/2),
      "ETS" => {
        fn queue -> @batch = EtsTables.deliver(ets, queue) end,
        before_each: fn sinks ->
          each(pids, sinks, &EtsTables.monitor(ets, &1, &2))
          EtsTables.certify(ets, certificates, :queue.new())
        end
      }
    }
  end

  defp each(pids, sinks, function) do
    for {pid, sink} <- Enum.zip(pids, Stream.cycle(sinks)), do: function.(pid, sink)
  end

  defp sink, do: spawn(&drain/0)
  defp drain, do: receive(do: (_ -> drain()))
end
