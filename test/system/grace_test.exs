defmodule ZenMonitor.GraceTest do
  # Connections that are lost and come back, within `nodedown_grace` and not.
  use ZenMonitor.Case

  alias ZenMonitor.Local.Connector
  alias ZenMonitor.{ProxyOfVersion2, TelemetryStandIn}

  # A grace whose end no test waits for, and one whose end a test waits for.
  @long 60_000
  @short 2_000

  defmodule CutAfter do
    # The connection is lost right after the answer, and nothing connects by itself.
    def call({_, node} = proxy, :ping, timeout) do
      answer = GenServer.call(proxy, :ping, timeout)
      Application.put_env(:kernel, :dist_auto_connect, :never)
      Node.disconnect(node)
      answer
    end
  end

  setup do
    on_exit(fn -> Application.delete_env(:kernel, :dist_auto_connect) end)
    ZenMonitor.nodedown_grace(@long)
    peer = start_connected_peer()
    %{peer: peer, target: on(peer, :target)}
  end

  describe "a connection that comes back within the grace" do
    test "leaves every monitor as it was", %{peer: peer} do
      pids = on(peer, :targets, [2_000])
      on(peer, :named_target, [:zen_graceful])
      refs = [ZenMonitor.monitor({:zen_graceful, peer.node}) | watch_all(pids)]
      blip(peer)
      wait_until_resumed(pids)
      name = {:zen_graceful, peer.node}
      wait_until(fn -> node() in on(peer, :watched_by, [name]) end)
      refute_received {:DOWN, _, _, _, _}
      assert standing() == 2_001

      on(peer, :kill_named, [:zen_graceful])
      on(peer, :kill, [pids])
      assert refs |> downs() |> Map.values() |> Enum.uniq() == [:killed]
    end

    test "fires those of processes that have died meanwhile with :noproc", context do
      %{peer: peer, target: living} = context
      [dead | _] = pids = on(peer, :targets, [100])
      [ref | refs] = watch_all([living | pids])
      Cluster.disconnect(peer)
      wait_until_held(peer)
      Cluster.call(peer, PeerScript, :kill, [pids])
      reconnect(peer)
      assert refs |> downs() |> Map.values() |> Enum.uniq() == [:noproc]
      assert ZenMonitor.info(dead).monitored == 0
      assert ZenMonitor.demonitor(ref, [:info])
    end

    test "leaves the members of sets and bulk monitors as they were", context do
      %{peer: peer, target: living} = context
      [dead, later] = on(peer, :targets, [2])
      set = ZenMonitor.Set.new(tag: :gone)
      2 = ZenMonitor.Set.put(set, [living, dead])
      bulk = for pid <- [living, dead], do: ZenMonitor.monitor(pid, bulk: true)
      Enum.each([living, dead], &wait_until_watched/1)
      Cluster.disconnect(peer)
      wait_until_held(peer)
      Cluster.call(peer, PeerScript, :kill, [[dead]])
      1 = ZenMonitor.Set.put(set, [living, later])
      1 = ZenMonitor.Set.delete(set, later)
      assert Metrics.get("zen_monitor.local.held") == 4
      reconnect(peer)
      wait_until_resumed([living])
      {ref, [_, of_dead]} = {set.ref, bulk}
      assert_receive {:gone, ^ref, :process, ^dead, {:zen_monitor, :noproc}}, 10_000
      assert_receive {:DOWN, :bulk, [{^of_dead, ^dead, {:zen_monitor, :noproc}}]}, 10_000
      refute_receive _, 50
      assert ZenMonitor.Set.to_list(set) == [living]
    end

    test "has what is monitored meanwhile wait", %{peer: peer, target: target} do
      [later, dead] = on(peer, :targets, [2])
      first = watch(target)
      Cluster.disconnect(peer)
      wait_until_held(peer)
      refs = for pid <- [target, later, dead], do: ZenMonitor.monitor(pid)
      assert ZenMonitor.demonitor(ZenMonitor.monitor(later), [:info])
      Cluster.call(peer, PeerScript, :kill, [[dead]])
      refute_receive {:DOWN, _, _, _, _}, 100

      reconnect(peer)
      wait_until_resumed([target, later])
      assert refs |> List.last() |> reason() == :noproc
      on(peer, :kill, [[target, later]])
      reasons = downs([first | Enum.take(refs, 2)])
      assert reasons |> Map.values() |> Enum.uniq() == [:killed]
    end

    test "resumes within the budget, and lets what is new through", %{peer: peer, target: target} do
      Connector.sweep_interval(300)
      Connector.chunk_size(100)
      # The test reads what is sent.
      Application.put_env(:zen_monitor, :wire, :v2)
      pids = on(peer, :targets, [1_000])
      connector = Connector.get_for_node(peer.node)
      watch_all(pids)
      Cluster.disconnect(peer)
      wait_until_held(peer)
      :erlang.trace(connector, true, [:send, :monotonic_timestamp])
      reconnect(peer)
      wait_until(fn -> Metrics.get("zen_monitor.local.held") in 1..900 end)
      ZenMonitor.monitor(target)
      wait_until_watched(target)
      assert Metrics.get("zen_monitor.local.held") > 0

      times = subscriptions(MapSet.new([target | pids]))
      # The held targets go out within the budget, and the new one among them.
      assert Enum.max(times) - Enum.min(times) >= 2_400
      assert busiest(Enum.sort(times), 300) <= 100
      assert standing() == 1_001
    end

    test "sends what has been removed no instruction", %{peer: peer, target: target} do
      pids = on(peer, :targets, [200])
      refs = watch_all([target | pids])
      Cluster.disconnect(peer)
      wait_until_held(peer)
      for ref <- tl(refs), do: assert(ZenMonitor.demonitor(ref, [:info]))
      assert Metrics.get("zen_monitor.local.held") == 1
      reconnect(peer)
      wait_until_resumed([target])
      assert on(peer, :subscriptions) == 1
      assert Native.sizes()[:targets] == 1
    end

    test "cleans up after a subscriber that died meanwhile", %{peer: peer, target: target} do
      watcher = PeerScript.watcher()
      PeerScript.place_all(watcher, [target | on(peer, :targets, [200])])
      wait_until_watched(target)
      Cluster.disconnect(peer)
      wait_until_held(peer)
      kill(watcher)
      wait_until(fn -> standing() == 0 end)
      reconnect(peer)
      ref = ZenMonitor.monitor(target)
      wait_until_watched(target)
      assert Native.sizes()[:targets] == 1
      assert ZenMonitor.demonitor(ref, [:info])
    end

    test "may be lost by one side long before the other notices", %{peer: peer, target: target} do
      dead = on(peer, :target)
      [ref, of_dead] = watch_all([target, dead])
      Cluster.suspend(peer)
      Node.disconnect(peer.node)
      wait_until_held(peer)
      Cluster.resume(peer)

      # An exit before the other side has noticed the loss is reported over the lost connection, which nobody reads.
      Cluster.call(peer, PeerScript, :kill, [[dead]])
      reconnect(peer)
      wait_until_resumed([target])
      assert reason(of_dead) == :noproc
      on(peer, :kill, [[target]])
      assert downs([ref]) == %{ref => :killed}
    end

    test "may be lost by the other side while this one's Connector is stopped", context do
      %{peer: peer, target: target} = context
      ref = watch(target)
      connector = Connector.get_for_node(peer.node)
      :sys.suspend(connector)
      Cluster.call(peer, Node, :disconnect, [node()])
      wait_until(fn -> Cluster.call(peer, Node, :ping, [node()]) == :pong end)
      :sys.resume(connector)
      wait_until_resumed([target])
      on(peer, :kill, [[target]])
      assert downs([ref]) == %{ref => :killed}
    end

    test "may be lost once more, before all is resumed and after", %{peer: peer} do
      slow_down()
      pids = on(peer, :targets, [600])
      refs = watch_all(pids)

      for _ <- 1..4 do
        blip(peer)
        wait_until_resuming(600)
      end

      assert standing() == 600
      Connector.sweep_interval(5)
      wait_until_resumed(pids)
      on(peer, :kill, [pids])
      assert refs |> downs() |> Map.values() |> Enum.uniq() == [:killed]
    end

    test "holds what was not told yet, because nobody had answered" do
      peer = start_connected_peer()
      on(peer, :named_target, [:zen_early])
      on(peer, :suspend, [ZenMonitor.Proxy])
      ref = ZenMonitor.monitor({:zen_early, peer.node})
      connector = Connector.get_for_node(peer.node)
      wait_until(fn -> :sys.get_state(connector).ping != nil end)
      Cluster.disconnect(peer)
      wait_until_held(peer)
      Cluster.call(peer, PeerScript, :resume, [ZenMonitor.Proxy])
      reconnect(peer)
      wait_until(fn -> on(peer, :named_watched?, [:zen_early]) end)
      on(peer, :kill_named, [:zen_early])
      assert downs([ref]) == %{ref => :killed}
    end

    test "holds what is new when the Connector hears of the loss by its Proxy's :DOWN", context do
      %{peer: peer, target: target} = context
      watch(target)
      connector = Connector.get_for_node(peer.node)

      # The test delivers the nodedown itself, so that some time passes before it.
      deafen(connector)
      Cluster.disconnect(peer)
      wait_until(fn -> :sys.get_state(connector).proxy == nil end)
      ref = ZenMonitor.monitor({:zen_name, peer.node})
      assert ZenMonitor.connect(peer.node) == :compatible
      send(connector, :sweep)
      refute_receive {:DOWN, _, _, _, _}, 100

      send(connector, {:nodedown, peer.node, []})
      wait_until_held(peer)
      reconnect(peer)
      send(connector, {:nodeup, peer.node, []})
      assert downs([ref]) == %{ref => :noproc}
    end

    for {what, gen_module} <- [
          {"the ping", GenServer},
          {"the question that follows it", CutAfter}
        ] do
      test "may be lost during #{what}, which is no answer", context do
        %{peer: peer, target: target} = context
        ref = watch(target)
        Cluster.disconnect(peer)
        wait_until_held(peer)
        {true, deadline} = held(peer)
        connector = Connector.get_for_node(peer.node)
        Cluster.call(peer, PeerScript, :suspend, [ZenMonitor.Proxy])
        Application.put_env(:zen_monitor, :gen_module, unquote(gen_module))
        reconnect(peer)
        wait_until(fn -> :sys.get_state(connector).ping != nil end)
        {pid, _, _} = :sys.get_state(connector).ping
        # The test delivers the nodedown itself, long after the end of the ping.
        deafen(connector)
        if unquote(gen_module) == GenServer, do: Cluster.disconnect(peer)
        Cluster.call(peer, PeerScript, :resume, [ZenMonitor.Proxy])
        wait_until(fn -> not Process.alive?(pid) end)
        assert {^pid, _, _} = :sys.get_state(connector).ping
        assert held(peer) == {true, deadline}

        Application.put_env(:zen_monitor, :gen_module, GenServer)
        send(connector, {:nodedown, peer.node, []})
        reconnect(peer)
        send(connector, {:nodeup, peer.node, []})
        wait_until_resumed([target])
        on(peer, :kill, [[target]])
        assert downs([ref]) == %{ref => :killed}
      end
    end

    test "is the same when this node has another name by then" do
      peer = Cluster.start_peer()
      observer = Cluster.start_peer(distributed: false, env: [nodedown_grace: @long])
      there = &Cluster.call(observer, &1, &2, &3)

      connect = fn name ->
        {:ok, _} = there.(Node, :start, [name, :longnames])
        there.(Node, :set_cookie, [Node.get_cookie()])
        wait_until(fn -> there.(Node, :connect, [peer.node]) == true end)
      end

      [former, later] = for number <- 1..2, do: :"zen_renamed_#{number}_#{System.pid()}@127.0.0.1"

      connect.(former)
      pid = Cluster.call(peer, PeerScript, :target, [])
      watched? = fn -> Cluster.call(peer, PeerScript, :watched?, [pid]) end
      there.(PeerScript, :named_watcher, [:zen_renamed])
      there.(PeerScript, :place, [:zen_renamed, pid])
      wait_until(watched?)

      :ok = there.(Node, :stop, [])
      wait_until(fn -> not watched?.() end)
      connect.(later)
      wait_until(watched?)
      assert there.(PeerScript, :received, [:zen_renamed]) == []
      Cluster.call(peer, PeerScript, :kill, [[pid]])
      wait_until(fn -> there.(PeerScript, :received, [:zen_renamed]) != [] end)

      assert [{:DOWN, _, _, ^pid, {:zen_monitor, :killed}}] =
               there.(PeerScript, :received, [:zen_renamed])
    end

    # A node with version 2 answers the ping and takes instructions. It knows nothing of a grace.
    test "needs nothing of ZenMonitor there but version 2's protocol" do
      peer = start_connected_peer(application: false)
      pid = on(peer, :target)
      Cluster.call(peer, ProxyOfVersion2, :start, [])

      instructed = fn ->
        received = Cluster.call(peer, ProxyOfVersion2, :received, [])
        for {:"$gen_cast", {:process, _, instructions}} <- received, do: instructions
      end

      ref = ZenMonitor.monitor(pid)
      wait_until(fn -> instructed.() == [[{:subscribe, pid}]] end)
      blip(peer)
      wait_until(fn -> instructed.() == [[{:subscribe, pid}], [{:subscribe, pid}]] end)
      send(Connector.get_for_node(peer.node), {:dead, peer.node, [{pid, :told}]})
      assert downs([ref]) == %{ref => :told}
    end
  end

  describe "all fires with :nodedown, once," do
    test "when the grace ends", %{peer: peer, target: target} do
      ZenMonitor.nodedown_grace(@short)
      refs = watch_all(on(peer, :targets, [500]))
      Cluster.disconnect(peer)
      wait_until_held(peer)
      later = for pid <- [target, target], do: ZenMonitor.monitor(pid)
      assert Enum.uniq(Map.values(downs(refs ++ later))) == [:nodedown]
      assert held(peer) == {false, nil}

      # It is over: what is monitored now fires at once.
      ZenMonitor.nodedown_grace(@long)
      assert target |> ZenMonitor.monitor() |> reason() == :nodedown
      Cluster.connect(peer)
      ref = watch(target)
      on(peer, :kill, [[target]])
      assert reason(ref) == :killed
    end

    test "when another life of the node comes back", %{peer: peer, target: target} do
      refs = watch_all(on(peer, :targets, [500]))
      Cluster.kill(peer)
      wait_until_held(peer)
      later = ZenMonitor.monitor({:zen_next_life, peer.node})
      again = Cluster.start_peer(name: peer.node)
      pid = Cluster.call(again, PeerScript, :named_target, [:zen_next_life])
      refute_received {:DOWN, _, _, _, _}
      Cluster.connect(again)
      assert refs |> downs() |> Map.values() |> Enum.uniq() == [:nodedown]

      # Instructions that the former life never got go to this one.
      wait_until_watched(pid)
      on(again, :kill, [[pid]])
      assert reason(later) == :killed
      assert target |> ZenMonitor.monitor() |> reason() == :noproc
    end

    test "when the node runs ZenMonitor no more", %{peer: peer} do
      refs = watch_all(on(peer, :targets, [500]))
      Cluster.disconnect(peer)
      wait_until_held(peer)
      :ok = Cluster.call(peer, PeerScript, :stop_application, [])
      later = ZenMonitor.monitor({:zen_name, peer.node})
      refute_received {:DOWN, _, _, _, _}
      reconnect(peer)
      assert [later | refs] |> downs() |> Map.values() |> Enum.uniq() == [:nodedown]
      assert {:incompatible, _, 1} = Native.compatibility(peer.node)
    end

    test "when its Proxy dies while the rest is resumed", %{peer: peer} do
      slow_down()
      refs = watch_all(on(peer, :targets, [600]))
      blip(peer)
      wait_until_resuming(600)
      on(peer, :kill_name, [ZenMonitor.Proxy])
      assert refs |> downs() |> Map.values() |> Enum.uniq() == [:nodedown]
    end

    test "at once without a grace, and for a node that never answered", %{peer: peer} do
      stranger = start_connected_peer(application: false)
      refs = watch_all(on(peer, :targets, [500]))
      ZenMonitor.connect(stranger.node)
      Cluster.disconnect(stranger)
      wait_until(fn -> Native.compatibility(stranger.node) == :unavailable end)
      assert {:name, stranger.node} |> ZenMonitor.monitor() |> reason() == :nodedown

      ZenMonitor.nodedown_grace(0)
      Cluster.disconnect(peer)
      assert refs |> downs() |> Map.values() |> Enum.uniq() == [:nodedown]
    end
  end

  describe "the grace counts from when the node was last there" do
    test "so a connection over which nobody answers does not prolong it", context do
      %{peer: peer, target: target} = context
      ref = watch(target)
      Cluster.disconnect(peer)
      wait_until_held(peer)
      {true, deadline} = held(peer)
      Cluster.call(peer, PeerScript, :suspend, [ZenMonitor.Proxy])
      reconnect(peer)
      connector = Connector.get_for_node(peer.node)
      wait_until(fn -> :sys.get_state(connector).ping != nil end)
      Cluster.disconnect(peer)
      wait_until(fn -> :sys.get_state(connector).ping == nil end)
      assert held(peer) == {true, deadline}

      Cluster.call(peer, PeerScript, :resume, [ZenMonitor.Proxy])
      blip(peer)
      wait_until(fn -> held(peer) == {false, nil} end)
      Process.sleep(2)
      Cluster.disconnect(peer)
      wait_until_held(peer)
      {true, later} = held(peer)
      assert later > deadline
      assert ZenMonitor.demonitor(ref, [:info])
    end
  end

  describe "a Connector that is killed" do
    test "while monitors are held has a successor that ends the grace", %{peer: peer} do
      ZenMonitor.nodedown_grace(@short)
      refs = watch_all(on(peer, :targets, [500]))
      Cluster.disconnect(peer)
      wait_until_held(peer)
      {true, deadline} = held(peer)
      peer.node |> Connector.get_for_node() |> kill()
      assert refs |> downs() |> Map.values() |> Enum.uniq() == [:nodedown]
      assert ZenMonitor.now() >= deadline
    end

    test "while monitors are held has a successor that resumes them", context do
      %{peer: peer, target: target} = context
      ref = watch(target)
      Cluster.disconnect(peer)
      wait_until_held(peer)
      peer.node |> Connector.get_for_node() |> kill()
      ZenMonitor.monitor(target) |> ZenMonitor.demonitor()
      reconnect(peer)
      wait_until_resumed([target])
      on(peer, :kill, [[target]])
      assert downs([ref]) == %{ref => :killed}
    end

    test "while they are resumed has one that goes on, or holds them again", %{peer: peer} do
      slow_down()
      pids = on(peer, :targets, [600])
      refs = watch_all(pids)

      for lost? <- [false, true] do
        blip(peer)
        wait_until_resuming(600)
        connector = Connector.get_for_node(peer.node)
        if lost?, do: :sys.suspend(connector)
        if lost?, do: Cluster.disconnect(peer)
        kill(connector)
        if lost?, do: wait_until_held(peer)
        if lost?, do: reconnect(peer)
      end

      Connector.sweep_interval(5)
      wait_until_resumed(pids)
      on(peer, :kill, [pids])
      assert refs |> downs() |> Map.values() |> Enum.uniq() == [:killed]
    end

    test "when the connection was lost has one that holds what stood", context do
      %{peer: peer, target: target} = context
      ref = watch(target)
      connector = Connector.get_for_node(peer.node)
      :sys.suspend(connector)
      Cluster.disconnect(peer)
      kill(connector)
      wait_until_held(peer)
      assert Metrics.get("zen_monitor.local.held") == 1
      reconnect(peer)
      wait_until_resumed([target])
      assert ZenMonitor.demonitor(ref, [:info])
    end
  end

  test "a stop of the application leaves nothing", %{peer: peer, target: target} do
    watch(target)
    Cluster.disconnect(peer)
    wait_until_held(peer)
    restart()
    assert Metrics.get("zen_monitor.local.held") == 0
    assert held(peer) == {false, nil}
    assert target |> ZenMonitor.monitor() |> reason() == :nodedown
    refute_received {:DOWN, _, _, _, _}
  end

  test "a Connector with nothing but held monitors does not retire", context do
    %{peer: peer, target: target} = context
    ZenMonitor.idle_timeout(1)
    connector = Connector.get_for_node(peer.node)
    watch(target)
    Cluster.disconnect(peer)
    wait_until_held(peer)
    Process.sleep(50)
    assert Connector.get_for_node(peer.node) == connector
    refute Native.connector_is_unused(peer.node)
  end

  test "what is held is seen", %{peer: %{node: there} = peer, target: target} do
    TelemetryStandIn.install()
    pids = on(peer, :targets, [9])
    [ref | _] = for pid <- [target, target | pids], do: ZenMonitor.monitor(pid)
    wait_until_watched(pids)
    assert ZenMonitor.connect(there) == :compatible
    Cluster.disconnect(peer)
    assert_receive {:telemetry, [:zen_monitor, :node, :held], held, %{node: ^there}}, 10_000
    assert held == %{monitors: 11, grace: @long}
    assert ZenMonitor.compatibility_for_node(there) == :incompatible
    assert ZenMonitor.connect(there) == :incompatible
    ZenMonitor.monitor({:zen_name, there})
    ZenMonitor.demonitor(ref)

    assert %{held: 10, monitors: 11, nodes: [node | _]} = ZenMonitor.info()
    assert %{node: ^there, compatibility: :unavailable, held: 10, monitors: 0} = node
    assert %{targets: 11, instructions: 1} = node
    assert Metrics.get("zen_monitor.local.held") == 10
    snapshot = Metrics.snapshot()
    screen = to_string(Mix.ZenMonitor.Top.frame(snapshot, snapshot, 24, 120))
    assert screen =~ ~r/held +10$/m
    assert screen =~ ~r/^#{there} +held +11 +10 +1$/m

    began = System.monotonic_time()
    reconnect(peer)
    assert_receive {:telemetry, [:zen_monitor, :node, :resumed], resumed, %{node: ^there}}, 10_000
    assert %{monitors: 10, targets: 10, duration: duration} = resumed
    assert duration in 1..(System.monotonic_time() - began + 60_000_000_000)
    assert ZenMonitor.compatibility_for_node(there) == :compatible
    assert %{held: 0, nodes: [%{held: 0} | _]} = ZenMonitor.info()
  end

  describe "blips, shorter and longer than the grace:" do
    @describetag timeout: :infinity

    test "30 of them", %{peer: peer} do
      blips(peer, 30)
    end

    @tag :soak
    test "1,000 of them", %{peer: peer} do
      IO.puts(inspect(blips(peer, 1_000)))
    end
  end

  # The standing monitors fire when a blip is longer than the grace, and never otherwise. Each round places further
  # monitors before and during the blip, and half of their targets die meanwhile. Returns what has fired.
  defp blips(peer, rounds) do
    standing = on(peer, :targets, [20])

    {_, fired} =
      Enum.reduce(1..rounds, {watch_all(standing), %{}}, fn round, {refs, fired} ->
        {refs, more} = blip(peer, round, standing, refs)
        assert standing() == length(refs)
        {refs, Map.merge(fired, Enum.frequencies(more), fn _, a, b -> a + b end)}
      end)

    on(peer, :kill, [standing])
    fired
  end

  defp blip(peer, round, standing, refs) do
    outlasts? = rem(round, 3) == 0
    ZenMonitor.nodedown_grace(if outlasts?, do: 20, else: @long)
    [dying, living, later, dead] = Enum.chunk_every(on(peer, :targets, [20]), 5)
    [of_dying, of_living] = for pids <- [dying, living], do: watch_all(pids)
    cut(peer, round)
    [of_later, of_dead] = for pids <- [later, dead], do: Enum.map(pids, &ZenMonitor.monitor/1)
    Cluster.call(peer, PeerScript, :kill, [dying ++ dead])

    if outlasts? do
      of_all = refs ++ of_dying ++ of_living ++ of_later ++ of_dead
      reasons = of_all |> downs() |> Map.values()
      assert Enum.uniq(reasons) == [:nodedown]
      reconnect(peer)
      on(peer, :kill, [living ++ later])
      {watch_all(standing), reasons}
    else
      if rem(round, 4) == 0, do: Process.sleep(:rand.uniform(100))
      reconnect(peer)
      wait_until_resumed(living ++ later ++ standing)
      reasons = (of_dying ++ of_dead) |> downs() |> Map.values()
      assert Enum.uniq(reasons) == [:noproc]
      for ref <- of_living ++ of_later, do: assert(ZenMonitor.demonitor(ref, [:info]))
      on(peer, :kill, [living ++ later])
      {refs, reasons}
    end
  end

  # The two sides cut the connection in turn. Both have noticed when this returns.
  defp cut(peer, round) do
    if rem(round, 2) == 0 do
      Cluster.call(peer, :erlang, :disconnect_node, [node()])
      wait_until(fn -> peer.node not in Node.list(:connected) end)
    else
      Cluster.disconnect(peer)
    end

    wait_until(fn -> Native.compatibility(peer.node) == :unavailable end)
  end

  # With this budget, 600 subscriptions take longer than two seconds.
  defp slow_down do
    Connector.sweep_interval(400)
    Connector.chunk_size(100)
  end

  defp wait_until_resuming(all) do
    wait_until(fn -> Metrics.get("zen_monitor.local.held") in 1..(all - 1) end)
  end

  defp blip(peer) do
    Cluster.disconnect(peer)
    reconnect(peer)
  end

  # The other side may still have the former connection.
  defp reconnect(peer) do
    wait_until(fn -> Node.connect(peer.node) == true end)
    # Otherwise, a greeting that is late connects the nodes again after the next cut.
    Cluster.greet(peer)
  end

  # From here on, only the test sends the Connector `nodeup` and `nodedown`.
  defp deafen(connector) do
    :sys.replace_state(connector, fn state ->
      :ok = :net_kernel.monitor_nodes(false, node_type: :all)
      state
    end)
  end

  defp held(peer), do: Native.connector_held(peer.node)

  defp wait_until_held(peer) do
    wait_until(fn -> match?({true, deadline} when deadline != nil, held(peer)) end)
  end

  defp wait_until_resumed(pids) do
    wait_until(fn -> Metrics.get("zen_monitor.local.held") == 0 end)
    wait_until_subscribed(pids)
  end

  # The times, in ms, at which the Connector sent the subscriptions of these pids.
  defp subscriptions(pids) do
    if MapSet.size(pids) == 0 do
      []
    else
      assert_receive {:trace_ts, _, :send, {:"$gen_cast", {:process, _, instructions}}, _, time},
                     10_000

      ms = System.convert_time_unit(time, :native, :millisecond)
      sent = for {:subscribe, pid} <- instructions, do: pid
      for(_ <- sent, do: ms) ++ subscriptions(MapSet.difference(pids, MapSet.new(sent)))
    end
  end
end
