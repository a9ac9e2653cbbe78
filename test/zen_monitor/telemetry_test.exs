defmodule ZenMonitor.TelemetryTest do
  use ZenMonitor.Case

  alias ZenMonitor.Local
  alias ZenMonitor.Local.{Connector, Dispatcher}
  alias ZenMonitor.{Proxy, Telemetry, TelemetryStandIn}
  alias ZenMonitor.Proxy.Batcher

  setup do
    TelemetryStandIn.install()
    %{peer: start_connected_peer()}
  end

  test "a monitor's life is seen in its batches", %{peer: %{node: there} = peer} do
    pids = on(peer, :targets, [20])
    refs = watch_all(pids)
    assert_receive {:telemetry, [:zen_monitor, :node, :up], %{}, %{node: ^there}}
    assert sum([:connector, :sweep], :instructions, %{node: there}, 20) == 20
    on(peer, :kill, [pids])
    downs(refs)
    assert sum([:connector, :certificates], :certificates, %{node: there}, 20) == 20
    # One more may be delivered, by which the test sees that nothing else comes.
    assert sum([:dispatcher, :delivery], :delivered, %{}, 20) in 20..21

    Cluster.disconnect(peer)
    assert_receive {:telemetry, [:zen_monitor, :node, :down], %{}, %{node: ^there}}, 10_000
  end

  test "monitor/1 and demonitor/2 themselves emit nothing" do
    ZenMonitor.connect(node())
    assert_receive {:telemetry, [:zen_monitor, :node, :up], _, _}
    :sys.suspend(Connector.get(self()))
    ref = ZenMonitor.monitor(self())
    ZenMonitor.demonitor(ref, [:flush])
    refute_receive {:telemetry, _, _, _}, 50
  end

  test "what is no list of certificates harms nobody" do
    connector = Connector.get(self())

    for certificates <- [:garbage, [1 | 2], []],
        do: send(connector, {:dead, node(), certificates})

    for certificates <- [0, 1, 0] do
      assert_receive {:telemetry, [:zen_monitor, :connector, :certificates],
                      %{certificates: ^certificates}, _}
    end

    assert Process.alive?(connector)
  end

  test "the watched side tells what it sends, and what it ignores" do
    pids = PeerScript.targets(10)
    instructions = [:garbage | for(pid <- pids, do: {:subscribe, pid})] ++ [{:what, 1}]
    GenServer.cast(Proxy, {:process, self(), instructions})
    here = node()

    assert_receive {:telemetry, [:zen_monitor, :proxy, :malformed], %{instructions: 2},
                    %{node: ^here}}

    PeerScript.kill(pids)
    assert sum([:batcher, :sweep], :certificates, %{node: here}, 10) == 10
  end

  test "a node that does not take part is incompatible, and load is shed" do
    %{node: there} = peer = start_connected_peer(application: false)
    refs = for pid <- on(peer, :targets, [5]), do: ZenMonitor.monitor(pid)
    downs(refs)

    assert_receive {:telemetry, [:zen_monitor, :node, :incompatible], %{penalty: 2_000},
                    %{node: ^there, attempt: 1}}

    assert sum([:connector, :shed], :targets, %{node: there}, 5) == 5
  end

  test "a successor tells what it found", %{peer: %{node: there} = peer} do
    pids = on(peer, :targets, [30])
    refs = watch_all(pids)

    PeerScript.kill([Connector.get(hd(pids))])
    assert_restart(Connector, there, 30)

    suspend_stage(Dispatcher)
    on(peer, :kill, [pids])
    wait_until(fn -> Local.batch_length() == 30 end)
    PeerScript.kill_name(Local)
    assert_restart(Local, node(), 30)
    PeerScript.kill_name(Dispatcher)
    assert_restart(Dispatcher, node(), 30)
    downs(refs)

    subscriber = self()
    batcher = Batcher.get(subscriber)
    suspend_stage(batcher)
    dead = PeerScript.dead_target()
    enqueued = Metrics.get("zen_monitor.proxy.batcher.enqueue")
    GenServer.cast(Proxy, {:process, subscriber, [{:subscribe, dead}]})
    wait_until(fn -> Metrics.get("zen_monitor.proxy.batcher.enqueue") == enqueued + 1 end)
    PeerScript.kill([batcher])
    assert_restart(Batcher, node(), 1)
    assert_receive {:dead, _, [{^dead, :noproc}]}, 10_000

    PeerScript.kill_name(Proxy)
    assert_restart(Proxy, node(), 0)
  end

  test "the events in the documentation are those that there are" do
    {:docs_v1, _, _, _, %{"en" => documentation}, _, _} = Code.fetch_docs(Telemetry)

    documented =
      for [event, measurements] <-
            Regex.scan(~r/^\| `\[:zen_monitor, ([^\]]+)\]`[^|]*\|([^|]*)\|/m, documentation,
              capture: :all_but_first
            ),
          into: %{} do
        keys = Regex.scan(~r/`(\w+)`/, measurements, capture: :all_but_first)
        {event, Enum.map(List.flatten(keys), &String.to_atom/1)}
      end

    assert map_size(documented) == 13

    for [metric] <-
          Regex.scan(~r/"zen_monitor\.([\w.]+)"/, documentation, capture: :all_but_first),
        not String.ends_with?(metric, ".value") do
      path = metric |> String.split(".") |> Enum.map(&String.to_atom/1)
      {event, [measurement]} = Enum.split(path, -1)
      key = event |> Enum.map_join(", ", &inspect/1)
      assert measurement in Map.fetch!(documented, key)
    end
  end

  defp assert_restart(process, node, recovered) do
    assert_receive {:telemetry, [:zen_monitor, :process, :restart], %{recovered: ^recovered},
                    %{process: ^process, node: ^node}},
                   10_000
  end

  # Adds up a measurement until it is enough. Checks that the event has its other measurements, too.
  defp sum(_event, _measurement, _metadata, enough) when enough <= 0, do: 0

  defp sum(event, measurement, metadata, enough) do
    event = [:zen_monitor | event]
    assert_receive {:telemetry, ^event, measurements, ^metadata}, 10_000
    for {_, value} <- measurements, do: assert(is_integer(value) and value >= 0)
    assert Map.has_key?(measurements, :duration) or measurement == :targets
    amount = Map.fetch!(measurements, measurement)
    amount + sum(tl(event), measurement, metadata, enough - amount)
  end
end
