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

      # A Connector that is suspended would not answer. Between two attempts to send, it waits for messages.
      wait_until(fn -> :sys.get_state(connector).unsent != nil end)
      wait_until(fn -> Process.info(connector, :status) == {:status, :waiting} end)
      resume(peer)
      wait_until_watched([hd(targets) | Enum.drop(targets, 50)])
      wait_until(fn -> :sys.get_state(connector).unsent == nil end)
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

    # A ping to that node is answered late or never, and the connection may not even take it.
    test "is pinged by a process that nobody waits for", %{peer: peer} do
      target = on(peer, :target)
      stall(peer)
      task = Task.async(fn -> Connector.connect(peer.node) end)
      connector = Connector.get_for_node(peer.node)
      wait_until(fn -> match?([_], :sys.get_state(connector).callers) end)
      ref = ZenMonitor.monitor(target)
      assert %{ping: {pid, _, 1}} = :sys.get_state(connector)
      # It has been spawned, and may not have come to send yet.
      wait_until(fn -> Process.info(pid, :status) == {:status, :suspended} end)
      # This stands for the timeout of the ping.
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
      # These messages may come from a node that sends and does not receive.
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
          # By its answer, it has also told of what it has shed.
          :sys.get_state(connector)
          late
        end)

      assert log =~ "max_pending_instructions"
      assert shed([:connector, :shed], :targets, peer.node) == 899
      assert Connector.get_for_node(peer.node) == connector
      resume(peer)
      wait_until(fn -> Enum.count(targets, &watched?/1) == 101 end)
      on(peer, :kill, [targets])
      reasons = downs([early | late])
      assert reasons[early] == :killed
      assert Enum.frequencies(Map.values(reasons)) == %{nodedown: 899, killed: 101}
    end
  end

  describe "max_pending_certificates" do
    test "bounds what waits for a node, which is told of the others later", %{peer: peer} do
      TelemetryStandIn.install()
      Application.put_env(:zen_monitor, :max_pending_certificates, 100)
      Batcher.chunk_size(10)
      targets = PeerScript.targets(1_000)
      watcher = watch_from(peer, targets)

      log =
        capture_log(fn ->
          stall_refusing(peer, hd(targets))
          PeerScript.kill(tl(targets))
          wait_until(fn -> Native.sizes()[:subscriptions] == 0 end)
          [{_, batcher, _, _}] = PeerScript.children(Batcher.supervisor())
          wait_until(fn -> :sys.get_state(batcher).shedding? end)
        end)

      assert log =~ "max_pending_certificates"
      assert Native.sizes()[:certificates] == 1_000
      resume(peer)
      wait_until(fn -> Native.sizes()[:certificates] == 0 end)
      wait_until(fn -> map_size(on(peer, :downs, [watcher])) == 1_000 end)
      assert on(peer, :downs, [watcher]) == Map.new(targets, &{{&1, :killed}, 1})
      assert shed([:proxy, :shed], :certificates, peer.node) == 900
      assert peer.node in Node.list()
    end

    test "gives up what is long in a reason, and no `:DOWN`", %{peer: peer} do
      Application.put_env(:zen_monitor, :max_pending_certificates, 1)
      [first | targets] = PeerScript.targets(101)
      watcher = watch_from(peer, [first | targets])
      stall_refusing(peer, first)
      reason = {:why, String.duplicate("x", 100)}
      {known, unknown} = Enum.split(targets, 50)

      capture_log(fn ->
        for target <- known, do: send(target, {:exit, :known})
        for target <- unknown, do: send(target, {:exit, reason})
        wait_until(fn -> Native.sizes()[:subscriptions] == 0 end)
      end)

      resume(peer)
      wait_until(fn -> map_size(on(peer, :downs, [watcher])) == 101 end)
      downs = on(peer, :downs, [watcher])
      for target <- known, do: assert(downs[{target, :known}] == 1)
      for target <- unknown, do: assert(downs[{target, :nodedown}] == 1)
    end

    test "loses nothing with a Batcher that is killed", %{peer: peer} do
      Application.put_env(:zen_monitor, :max_pending_certificates, 10)
      Batcher.chunk_size(10)
      targets = PeerScript.targets(1_000)
      watcher = watch_from(peer, targets)
      stall(peer)

      capture_log(fn ->
        PeerScript.kill(targets)
        wait_until(fn -> Native.sizes()[:subscriptions] == 0 end)
        PeerScript.kill_children(Batcher.supervisor())
        resume(peer)
        wait_until(fn -> Native.sizes()[:certificates] in 1..990 end)
        PeerScript.kill_children(Batcher.supervisor())
        wait_until(fn -> map_size(on(peer, :downs, [watcher])) == 1_000 end)
      end)

      assert on(peer, :downs, [watcher]) == Map.new(targets, &{{&1, :killed}, 1})
    end

    test "fires all at once when the node goes down meanwhile", %{peer: peer} do
      Application.put_env(:zen_monitor, :max_pending_certificates, 10)
      targets = PeerScript.targets(1_000)
      watcher = watch_from(peer, targets)
      stall(peer)

      capture_log(fn ->
        PeerScript.kill(targets)
        wait_until(fn -> Native.sizes()[:subscriptions] == 0 end)
      end)

      Node.disconnect(peer.node)
      wait_until(fn -> Native.sizes()[:certificates] == 0 end)
      resume(peer)
      downs = fn -> Cluster.call(peer, PeerScript, :downs, [watcher]) end
      wait_until(fn -> map_size(downs.()) == 1_000 end)
      assert Enum.uniq(Map.values(downs.())) == [1]
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
    wait_until_watched(targets)
    on(peer, :kill, [targets])
    assert map_size(downs([early | late])) == 100
  end

  # Has a peer watch processes of this node.
  defp watch_from(peer, targets) do
    watcher = on(peer, :watcher)
    on(peer, :place_all, [watcher, targets])
    wait_until_watched(targets)
    watcher
  end

  # Stops a peer and fills the connection to it. If the test never resumes it, it goes on by itself.
  defp stall(peer) do
    Cluster.suspend(peer)
    on_exit(fn -> Cluster.resume(peer) end)
    PeerScript.fill(peer.node)
  end

  # Stops a peer that watches a process of this node, and kills the process, so that the connection refuses the
  # certificate.
  defp stall_refusing(peer, target) do
    stall(peer)
    PeerScript.kill([target])
    [{_, batcher, _, _}] = PeerScript.children(Batcher.supervisor())
    wait_until(fn -> :sys.get_state(batcher).unsent != nil end)
  end

  defp resume(peer), do: Cluster.resume(peer)

  # The sum of a measurement over all events about a node so far.
  defp shed(event, measurement, node) do
    event = [:zen_monitor | event]

    receive do
      {:telemetry, ^event, %{^measurement => amount}, %{node: ^node}} ->
        amount + shed(tl(event), measurement, node)
    after
      0 -> 0
    end
  end
end
