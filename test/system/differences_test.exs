defmodule ZenMonitor.DifferencesTest do
  # What guides/differences.md says: the same with `Process.monitor/1` and with ZenMonitor, side by side.
  use ZenMonitor.Case

  alias ZenMonitor.Local.{Connector, Dispatcher}

  setup do
    %{peer: start_connected_peer()}
  end

  describe "messages:" do
    test "the reason is wrapped and truncated", %{peer: peer} do
      target = on(peer, :target)
      plain = Process.monitor(target)
      zen = watch(target)
      long = Enum.to_list(1..5)
      send(target, {:exit, {:why, long}})
      assert_receive {:DOWN, ^plain, :process, ^target, {:why, ^long}}, 10_000
      assert_receive {:DOWN, ^zen, :process, ^target, {:zen_monitor, {:why, :truncated}}}, 10_000
    end

    test "a lost connection is :nodedown", %{peer: peer} do
      target = on(peer, :target)
      plain = Process.monitor(target)
      zen = watch(target)
      Cluster.disconnect(peer)
      assert_receive {:DOWN, ^plain, :process, ^target, :noconnection}, 10_000
      assert_receive {:DOWN, ^zen, :process, ^target, {:zen_monitor, :nodedown}}, 10_000
    end

    # Not each time: the target may take its time to exit.
    test "what exits at once may be :noproc", %{peer: peer} do
      Connector.connect(peer.node)

      reasons =
        for target <- on(peer, :targets, [50]) do
          plain = Process.monitor(target)
          zen = ZenMonitor.monitor(target)
          send(target, {:exit, :done})
          assert_receive {:DOWN, ^plain, :process, ^target, :done}, 10_000
          reason(zen)
        end

      assert :noproc in reasons
      assert Enum.uniq(reasons) -- [:noproc, :done] == []
    end

    test "many are delivered within the budget", %{peer: peer} do
      Dispatcher.demand_amount(5)
      Dispatcher.demand_interval(60_000)
      targets = on(peer, :targets, [20])
      plain = for target <- targets, do: Process.monitor(target)
      watch_all(targets)
      on(peer, :kill, [targets])
      for ref <- plain, do: assert_receive({:DOWN, ^ref, :process, _, :killed}, 10_000)
      wait_until(fn -> Metrics.get("zen_monitor.local.batch_length") == 15 end)
      for _ <- 1..5, do: assert_receive({:DOWN, _, :process, _, {:zen_monitor, :killed}})
      refute_received {:DOWN, _, :process, _, {:zen_monitor, _}}
    end
  end

  test "order: nodedown may come before the :DOWNs", %{peer: peer} do
    :ok = :net_kernel.monitor_nodes(true)
    targets = on(peer, :targets, [20])
    plain = for target <- targets, do: Process.monitor(target)
    zen = watch_all(targets)
    suspend_stage(Dispatcher)
    Cluster.disconnect(peer)
    node = peer.node
    assert_receive {:nodedown, ^node}, 10_000

    # By then all `:DOWN`s of `Process.monitor/1` are there, in the order of placing.
    received =
      for _ <- plain do
        assert_received {:DOWN, ref, :process, _, :noconnection}
        ref
      end

    assert received == plain
    # Ours wait for the Dispatcher, even longer than until the next nodeup.
    Cluster.connect(peer)
    assert_receive {:nodeup, ^node}, 10_000
    refute_received {:DOWN, _, :process, _, {:zen_monitor, _}}
    resume_stage(Dispatcher)
    assert downs(zen) |> Map.values() |> Enum.uniq() == [:nodedown]
    :net_kernel.monitor_nodes(false)
  end

  # The monitors are placed in random order, which is not the order of pids or tables.
  test "order: the :DOWNs of a lost node do not come in that of placing", %{peer: peer} do
    targets = Enum.shuffle(on(peer, :targets, [500]))
    plain = for target <- targets, do: Process.monitor(target)
    zen = watch_all(targets)
    Cluster.disconnect(peer)

    for {refs, reason, as_placed?} <- [
          {plain, :noconnection, true},
          {zen, {:zen_monitor, :nodedown}, false}
        ] do
      received =
        for _ <- refs do
          assert_receive {:DOWN, ref, :process, _, ^reason}, 10_000
          ref
        end

      assert Enum.sort(received) == Enum.sort(refs)
      assert received == refs == as_placed?
    end
  end

  test "order: those that exit one after the other come in that order", %{peer: peer} do
    targets = on(peer, :targets, [100])
    watch_all(targets)
    for target <- targets, do: Process.monitor(target)
    killed = Enum.shuffle(targets)
    on(peer, :kill_certified, [killed])

    for reason <- [:killed, {:zen_monitor, :killed}], target <- killed do
      assert_receive {:DOWN, _, :process, received, ^reason}, 10_000
      assert received == target
    end
  end

  # One that was never connected: a link that was just cut may be made again by `global`.
  test "connections: no node is connected" do
    peer = Cluster.start_peer()
    assert reason(ZenMonitor.monitor({:nobody, peer.node})) == :nodedown
    refute peer.node in Node.list()
    plain = Process.monitor({:nobody, peer.node})
    assert_receive {:DOWN, ^plain, :process, _, :noproc}, 10_000
    assert peer.node in Node.list()
  end

  test "connections: a node must take part" do
    peer = start_connected_peer(application: false)
    target = on(peer, :target)
    plain = Process.monitor(target)
    assert reason(ZenMonitor.monitor(target)) == :nodedown
    refute_received {:DOWN, ^plain, _, _, _}
    assert ZenMonitor.connect(peer.node) == :incompatible
  end

  test "what others see", %{peer: peer} do
    target = on(peer, :target)
    before = Process.info(self(), [:monitors, :monitored_by])
    zen = watch(target)
    later = Process.info(self(), [:monitors, :monitored_by])
    assert later[:monitors] == before[:monitors]
    assert [watcher] = later[:monitored_by] -- before[:monitored_by]
    assert is_reference(watcher)
    assert %{monitors: 1, monitoring: [{^zen, ^target}]} = ZenMonitor.info(self())
    {:monitored_by, [holder]} = :erpc.call(peer.node, Process, :info, [target, :monitored_by])
    holders = :erpc.call(peer.node, ZenMonitor.Native, :proxy_holders, [])
    # With one scheduler there are none.
    assert holder in [:erpc.call(peer.node, Process, :whereis, [ZenMonitor.Proxy]) | holders]

    Process.monitor(target)
    assert {:monitors, [process: ^target]} = Process.info(self(), :monitors)
  end

  test "options: those that end an alias, and :priority, are refused", %{peer: peer} do
    target = on(peer, :target)

    for mode <- [:demonitor, :reply_demonitor] do
      assert is_reference(:erlang.monitor(:process, target, alias: mode))
      assert_raise ArgumentError, ~r/alias/, fn -> ZenMonitor.monitor(target, alias: mode) end
    end

    if System.otp_release() >= "28",
      do: assert(is_reference(:erlang.monitor(:process, target, [:priority])))

    assert_raise ArgumentError, ~r/expected the options of monitor\/2/, fn ->
      ZenMonitor.monitor(target, [:priority])
    end
  end

  test "options: tag and an explicit alias are those of Process.monitor/2", %{peer: peer} do
    target = on(peer, :target)

    for monitor <- [&:erlang.monitor(:process, &1, &2), &ZenMonitor.monitor/2] do
      kept = monitor.(target, tag: :gone, alias: :explicit_unalias)
      ended = monitor.(target, alias: :explicit_unalias)
      :erlang.unalias(ended)
      send(kept, {:to, kept})
      send(ended, {:to, ended})
      assert_receive {:to, ^kept}, 10_000
      send(self(), {kept, ended})
    end

    wait_until_watched(target)
    assert_received {plain, plain_ended}
    assert_received {zen, zen_ended}
    kill(target)
    assert_receive {:gone, ^plain, :process, ^target, :killed}, 10_000
    assert_receive {:gone, ^zen, :process, ^target, {:zen_monitor, :killed}}, 10_000
    assert_receive {:DOWN, ^plain_ended, :process, ^target, :killed}, 10_000
    assert_receive {:DOWN, ^zen_ended, :process, ^target, {:zen_monitor, :killed}}, 10_000
    # The alias outlives the monitor. The message that was sent to the ended alias never came.
    for alias <- [plain, zen], do: send(alias, {:again, alias})
    assert_receive {:again, ^plain}, 10_000
    assert_receive {:again, ^zen}, 10_000
    refute_received {:to, _}
  end

  test "what version 2 had is gone, and what takes its place is there", %{peer: peer} do
    gone = [
      {ZenMonitor.Metrics, :table_size, 1},
      {ZenMonitor.Local.Tables, :references, 0},
      {ZenMonitor.Local.Tables, :nodes, 0},
      {ZenMonitor.Proxy.Tables, :subscribers, 0}
    ]

    for {module, function, arity} <- gone do
      assert Code.ensure_loaded?(module)
      refute function_exported?(module, function, arity)
    end

    own = PeerScript.target()
    watcher = on(peer, :watcher)
    on(peer, :place, [watcher, own])
    wait_until_watched(own)
    watch(on(peer, :target))
    assert Metrics.get("zen_monitor.local.ets.references.size") == 1
    assert Metrics.get("zen_monitor.proxy.ets.subscribers.size") == 1
    assert ZenMonitor.info(own).watched_by == [peer.node]
    assert ZenMonitor.compatibility_for_node(peer.node) == :compatible
    assert Enum.any?(ZenMonitor.info().nodes, &(&1.node == peer.node))
  end
end
