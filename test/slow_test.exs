defmodule ZenMonitor.SlowTest do
  # A node that is stopped while the connection to it is full: whoever sends there is suspended until
  # it goes on, or until the net tick gives it up.
  use ZenMonitor.Case

  import ExUnit.CaptureLog

  alias ZenMonitor.Local.{Connector, Connectors}
  alias ZenMonitor.Proxy
  alias ZenMonitor.Proxy.Batcher
  alias ZenMonitor.TelemetryStandIn

  setup do
    for module <- [Connector, Batcher], do: module.sweep_interval(10)
    %{peer: start_connected_peer()}
  end

  describe "a slow node" do
    test "keeps no caller of monitor or demonitor waiting, nor any other Connector", %{peer: peer} do
      other = start_connected_peer()
      targets = on(peer, :targets, [100])
      early = watch(hd(targets))
      connector = Connector.get_for_node(peer.node)
      stall(peer)
      late = for target <- targets, do: ZenMonitor.monitor(target)
      {removed, kept} = Enum.split(late, 50)
      for ref <- removed, do: assert(ZenMonitor.demonitor(ref, [:info]))

      distant = on(other, :target)
      ref = watch(distant)
      Process.exit(distant, :kill)
      assert reason(ref) == :killed

      assert Connector.connect(peer.node) == :compatible
      assert :sys.get_state(connector).unsent != nil
      assert Process.info(connector, :status) == {:status, :waiting}
      resume(peer)
      wait_until_watched(List.last(targets))
      assert :sys.get_state(connector).unsent == nil
      on(peer, :kill, [targets])
      assert downs([early | kept]) |> Map.values() |> Enum.uniq() == [:killed]
    end

    test "that is cut off meanwhile has all of its monitors fired", %{peer: peer} do
      [target | targets] = on(peer, :targets, [100])
      early = watch(target)
      stall(peer)
      late = for target <- targets, do: ZenMonitor.monitor(target)
      connector = Connector.get_for_node(peer.node)
      wait_until(fn -> :sys.get_state(connector).unsent != nil end)
      Node.disconnect(peer.node)
      assert downs([early | late]) |> Map.values() |> Enum.uniq() == [:nodedown]
      assert Keyword.get(Native.sizes(), :targets) == 0
      resume(peer)
    end

    # Its ping is answered late or never, and the connection may not even take it.
    test "is pinged by a process that nobody waits for", %{peer: peer} do
      target = on(peer, :target)
      stall(peer)
      task = Task.async(fn -> Connector.connect(peer.node) end)
      connector = Connector.get_for_node(peer.node)
      wait_until(fn -> match?([_], :sys.get_state(connector).callers) end)
      ref = ZenMonitor.monitor(target)
      assert %{ping: {pid, _, 1}} = :sys.get_state(connector)
      assert {:status, status} = Process.info(pid, :status)
      assert status == :suspended
      # In place of its timeout.
      send(connector, {:ping_timeout, pid})
      assert Task.await(task) == :incompatible
      assert reason(ref) == :nodedown
      refute Process.alive?(pid)
      resume(peer)
    end

    test "does not hold up the Proxy when it subscribes or pings", %{peer: peer} do
      other = start_connected_peer()
      connector = on(peer, :watcher)
      stall(peer)
      target = PeerScript.target()
      # As they may arrive from a node that sends and does not receive.
      GenServer.cast(Proxy, {:process, connector, [{:subscribe, target}]})
      send(Proxy, {:"$gen_call", {connector, make_ref()}, :ping})
      wait_until(fn -> watched?(target) end)
      assert Proxy.ping() == :pong
      watcher = on(other, :watcher)
      on(other, :place, [watcher, target])
      Process.exit(target, :kill)
      wait_until(fn -> match?([_], on(other, :received, [watcher])) end)
      resume(peer)
      wait_until(fn -> on(peer, :received, [connector]) |> List.keymember?(:dead, 0) end)
    end
  end

  describe "max_pending_instructions" do
    test "fires what waits beyond it, once, and loses nothing else", %{peer: peer} do
      TelemetryStandIn.install()
      Application.put_env(:zen_monitor, :max_pending_instructions, 100)
      Connector.chunk_size(10)
      targets = on(peer, :targets, [1_000])
      early = watch(hd(targets))
      connector = Connector.get_for_node(peer.node)

      {late, log} =
        with_log(fn ->
          stall(peer)
          late = for target <- tl(targets), do: ZenMonitor.monitor(target)
          wait_until(fn -> standing() == 101 end)
          late
        end)

      assert log =~ "max_pending_instructions"
      assert shed([:connector, :shed], :targets, peer.node) == 899
      assert Connector.get_for_node(peer.node) == connector
      resume(peer)
      wait_until_watched(List.last(targets))
      on(peer, :kill, [targets])
      reasons = downs([early | late])
      assert reasons[early] == :killed
      assert Enum.frequencies(Map.values(reasons)) == %{nodedown: 899, killed: 101}
    end
  end

  describe "max_pending_certificates" do
    test "disconnects the node, whose monitors fire, each once", %{peer: peer} do
      TelemetryStandIn.install()
      other = start_connected_peer()
      Application.put_env(:zen_monitor, :max_pending_certificates, 100)
      Batcher.chunk_size(10)
      targets = PeerScript.targets(1_000)
      watcher = on(peer, :watcher)
      for target <- targets, do: on(peer, :place, [watcher, target])
      wait_until_watched(List.last(targets))
      bystander = on(other, :watcher)
      on(other, :place, [bystander, hd(targets)])
      wait_until(fn -> Native.sizes()[:subscriptions] == 1_001 end)
      proxy = Process.whereis(Proxy)

      log =
        capture_log(fn ->
          stall(peer)
          PeerScript.kill(targets)
          wait_until(fn -> peer.node not in Node.list(:connected) end)
        end)

      assert log =~ "max_pending_certificates"
      assert shed([:proxy, :shed], :certificates, peer.node) >= 100
      wait_until(fn -> match?([{:DOWN, _, _, _, _}], on(other, :received, [bystander])) end)
      wait_until(fn -> Native.sizes()[:subscriptions] == 0 end)
      assert Native.sizes()[:certificates] == 0
      assert Process.whereis(Proxy) == proxy

      resume(peer)
      received = fn -> Cluster.call(peer, PeerScript, :received, [watcher]) end
      wait_until(fn -> length(received.()) == 1_000 end)

      downs =
        for {:DOWN, _, :process, pid, {:zen_monitor, reason}} <- received.(), do: {pid, reason}

      assert downs |> Enum.map(&elem(&1, 0)) |> Enum.sort() == Enum.sort(targets)
      assert Enum.uniq(for {_, reason} <- downs, do: reason) -- [:killed, :nodedown] == []
    end

    test "may be none, like max_pending_instructions" do
      limits = [max_pending_certificates: :infinity, max_pending_instructions: :infinity]
      Application.put_all_env(zen_monitor: limits)
      restart()
      refs = watch_all(targets = PeerScript.targets(10))
      PeerScript.kill(targets)
      assert map_size(downs(refs)) == 10
    end

    test "is none for the processes that this node monitors itself" do
      Application.put_env(:zen_monitor, :max_pending_certificates, 1)
      targets = PeerScript.targets(1_000)
      refs = watch_all(targets)
      PeerScript.kill(targets)
      assert downs(refs) |> Map.values() |> Enum.uniq() == [:killed]
    end
  end

  test "a Connector that is killed while a chunk waits has its successor send it", %{peer: peer} do
    targets = on(peer, :targets, [100])
    early = watch(hd(targets))
    stall(peer)
    late = for target <- tl(targets), do: ZenMonitor.monitor(target)
    connector = Connector.get_for_node(peer.node)
    wait_until(fn -> :sys.get_state(connector).unsent != nil end)
    kill(connector)
    assert Connectors.get(peer.node) != connector
    resume(peer)
    wait_until_watched(List.last(targets))
    on(peer, :kill, [targets])
    assert map_size(downs([early | late])) == 100
  end

  # Stops a peer and fills the connection to it. In case that this test never resumes it, it goes on
  # by itself.
  defp stall(peer) do
    Cluster.suspend(peer)
    filler = spawn_link(fn -> fill({:zen_monitor_nobody, peer.node}) end)
    on_exit(fn -> Cluster.resume(peer) end)
    wait_until(fn -> suspended?(filler) and Process.sleep(50) && suspended?(filler) end)
    Process.unlink(filler)
    Process.exit(filler, :kill)
  end

  defp resume(peer), do: Cluster.resume(peer)

  # What all events so far have told of a node.
  defp shed(event, measurement, node) do
    event = [:zen_monitor | event]

    receive do
      {:telemetry, ^event, %{^measurement => amount}, %{node: ^node}} ->
        amount + shed(tl(event), measurement, node)
    after
      0 -> 0
    end
  end

  defp fill(nobody) do
    send(nobody, :binary.copy("x", 1_000_000))
    fill(nobody)
  end

  defp suspended?(pid), do: Process.info(pid, :status) == {:status, :suspended}
end
