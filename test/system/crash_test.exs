defmodule ZenMonitor.CrashTest do
  # Kills one process of the tree after the other, here and on the other node, while monitors stand,
  # fall due, and are being delivered.
  use ZenMonitor.Case

  alias ZenMonitor.Local.{Connector, Dispatcher}
  alias ZenMonitor.Proxy

  @amount 2_000

  setup_all do
    %{peer: start_connected_peer()}
  end

  # Small deliveries, so that the crash meets them under way.
  setup do
    Dispatcher.demand_amount(100)
    Dispatcher.demand_interval(10)
    Connector.chunk_size(500)
    Connector.sweep_interval(10)
  end

  for victim <- [
        ZenMonitor.Local,
        ZenMonitor.Local.Tables,
        ZenMonitor.Local.Dispatcher,
        ZenMonitor.Local.Supervisor,
        ZenMonitor.Local.Connectors,
        ZenMonitor.Local.Connectors.supervisor(),
        ZenMonitor.Tables
      ] do
    test "of #{inspect(victim)} loses no monitor and fires none twice", %{peer: peer} do
      survive(peer, fn -> PeerScript.kill_name(unquote(victim)) end)
    end
  end

  test "of a Connector loses no monitor and fires none twice", %{peer: peer} do
    survive(peer, fn -> kill(Connector.get_for_node(peer.node)) end)
  end

  test "of the remote Tables loses no monitor and no reason", %{peer: peer} do
    reasons = survive(peer, fn -> on(peer, :kill_name, [ZenMonitor.Proxy.Tables]) end)
    assert Enum.uniq(reasons) == [:killed]
  end

  test "of a remote Batcher loses no monitor and no reason", %{peer: peer} do
    supervisor = ZenMonitor.Proxy.Batcher.supervisor()
    reasons = survive(peer, fn -> on(peer, :kill_children, [supervisor]) end)
    assert Enum.uniq(reasons) == [:killed]
  end

  test "of the Batchers' supervisor loses no monitor and no reason", %{peer: peer} do
    supervisor = ZenMonitor.Proxy.Batcher.supervisor()
    reasons = survive(peer, fn -> on(peer, :kill_name, [supervisor]) end)
    assert Enum.uniq(reasons) == [:killed]
  end

  test "of the remote Proxy fires every monitor once", %{peer: peer} do
    reasons = survive(peer, fn -> on(peer, :kill_proxy) end)
    assert Enum.uniq(reasons) -- [:killed, :nodedown] == []
  end

  test "of a holder of the remote Proxy fires every monitor once", %{peer: peer} do
    reasons = survive(peer, fn -> on(peer, :kill_holder) end)
    assert Enum.uniq(reasons) -- [:killed, :nodedown] == []
    # The targets of the one that was killed are among them, and those of the others.
    assert :nodedown in reasons
  end

  test "of a holder takes the Proxy and the other holders with it", %{peer: _} do
    former = [Process.whereis(Proxy) | Native.proxy_holders()]
    monitors = for pid <- former, do: Process.monitor(pid)
    PeerScript.kill_holder()
    for monitor <- monitors, do: assert_receive({:DOWN, ^monitor, _, _, _})
    successors = [Process.whereis(Proxy) | Native.proxy_holders()]
    assert length(successors) == length(former)
    assert Enum.all?(successors, &Process.alive?/1)
    assert successors -- former == successors
    wait_until(fn -> ZenMonitor.connect(node()) == :compatible end)
  end

  test "of Dispatcher or Local alone loses no reason", %{peer: peer} do
    for victim <- [ZenMonitor.Local, Dispatcher] do
      reasons = survive(peer, fn -> PeerScript.kill_name(victim) end)
      assert {victim, Enum.uniq(reasons)} == {victim, [:killed]}
    end
  end

  test "of all of them, again and again, loses no monitor", %{peer: peer} do
    victims = [ZenMonitor.Local.Tables, Dispatcher, ZenMonitor.Local, ZenMonitor.Tables]

    survive(peer, fn ->
      for _ <- 1..5, victim <- victims do
        kill(Connector.get_for_node(peer.node))
        PeerScript.kill_name(victim)
      end
    end)
  end

  test "of a Connector has its successor subscribe again", %{peer: peer} do
    [pid, other] = on(peer, :targets, [2])
    [ref, _] = watch_all([pid, other])
    former = Connector.get(pid)
    kill(former)

    # The peer has forgotten the former, so that all it has are the subscriptions of the successor.
    attached = fn -> Map.keys(:sys.get_state({Proxy, peer.node})) end
    wait_until(fn -> Connector.get(pid) != former and attached.() == [Connector.get(pid)] end)
    wait_until(fn -> on(peer, :subscriptions) == 2 and watched?([pid, other]) end)
    send(pid, {:exit, :told})
    assert downs([ref]) == %{ref => :told}
  end

  test "of a Connector while the connection is cut fires what was lost", %{peer: _} do
    peer = start_connected_peer()
    pids = on(peer, :targets, [@amount])
    refs = watch_all(pids)
    connector = Connector.get_for_node(peer.node)
    # The Connector never sees the nodedown.
    :sys.suspend(connector)
    Cluster.disconnect(peer)
    kill(connector)
    reasons = downs(refs)
    assert reasons |> Map.values() |> Enum.uniq() == [:nodedown]
  end

  test "of Tables while a subscriber dies leaves none of its monitors", %{peer: peer} do
    pids = on(peer, :targets, [@amount])
    watcher = PeerScript.watcher()
    for pid <- pids, do: PeerScript.place(watcher, pid)
    wait_until_watched(pids)
    :sys.suspend(ZenMonitor.Local.Tables)
    kill(watcher)
    PeerScript.kill_name(ZenMonitor.Local.Tables)
    wait_until(fn -> standing() == 0 end)
    wait_until(fn -> not Enum.any?(pids, &watched?/1) end)
  end

  # A dirty call goes on when its process is dead, and the messages that it sends must still arrive.
  describe "during a dirty call" do
    test "that certifies leaves nobody asleep", %{peer: peer} do
      pids = on(peer, :targets, [60])
      refs = watch_all(pids)
      wait_until(&Native.dispatcher_rest/0)
      certificates = for pid <- pids, do: {pid, {:shutdown, {pid, Enum.to_list(1..40_000)}}}
      certifier = spawn(fn -> Native.connector_certify_bulky(peer.node, certificates) end)
      wait_until(fn -> due() > 0 end)
      kill(certifier)
      assert map_size(downs(refs)) == 60
    end

    test "that delivers loses nothing", %{peer: peer} do
      pids = on(peer, :targets, [10])
      refs = watch_all(pids)
      suspend_stage(Dispatcher)

      for {pid, round} <- Enum.with_index(pids) do
        reason = {:shutdown, {pid, Enum.map(1..500_000, &{&1})}}
        {:ok, [], [], 0} = Native.connector_certify_bulky(peer.node, [{pid, reason}])
        deliverer = spawn(fn -> Native.dispatcher_deliver_bulky(node(), 1, :all) end)
        # Some of the processes are still building their message then.
        Process.sleep(5 * round)
        kill(deliverer)
      end

      resume_stage(Dispatcher)
      assert map_size(downs(refs)) == 10
    end
  end

  describe "with 100,000 monitors standing, and their exits in flight" do
    @describetag :soak
    @describetag timeout: :infinity

    setup do
      for module <- [Connector, ZenMonitor.Proxy.Batcher], do: module.chunk_size(20_000)
      Dispatcher.demand_amount(2_000)
    end

    test "the death of each process alone loses no monitor and fires none twice", %{peer: peer} do
      for victim <- victims() ++ [{:remote, ZenMonitor.Proxy}, {:remote, :holder}] do
        reasons = survive(peer, fn -> kill_victim(peer, victim) end, 100_000)

        # The death of the Proxy fires `:nodedown`. Where nobody watched for a moment, an exit is reported as `:noproc`.
        fatal = [{:remote, Proxy}, {:remote, :holder}]
        allowed = if victim in fatal, do: [:nodedown], else: []
        assert {victim, Enum.uniq(reasons) -- [:killed, :noproc | allowed]} == {victim, []}
        IO.puts("#{inspect(victim)}: #{inspect(Enum.frequencies(reasons))}")
      end
    end

    test "their deaths in random succession lose no monitor and fire none twice", %{peer: peer} do
      :rand.seed(:exsss, ExUnit.configuration()[:seed])

      reasons =
        survive(
          peer,
          fn -> for _ <- 1..100, do: kill_victim(peer, Enum.random(victims())) end,
          100_000
        )

      assert Enum.uniq(reasons) -- [:killed, :noproc] == []
      IO.puts("100 deaths: #{inspect(Enum.frequencies(reasons))}")
    end
  end

  describe "the application" do
    test "that is stopped and started again has nothing left, here or there", %{peer: _} do
      peer = start_connected_peer()
      pids = on(peer, :targets, [@amount])
      refs = watch_all(pids)
      set = ZenMonitor.Set.new()
      ZenMonitor.Set.put(set, pids)
      own = PeerScript.target()
      watcher = on(peer, :watcher)
      on(peer, :place, [watcher, own])
      wait_until_watched(own)

      Application.stop(:zen_monitor)
      wait_until(fn -> not Enum.any?(pids, &watched?/1) end)
      wait_until(fn -> match?([{:DOWN, _, _, ^own, _}], on(peer, :received, [watcher])) end)
      assert [{_, _, _, _, {:zen_monitor, :nodedown}}] = on(peer, :received, [watcher])
      assert_raise ErlangError, ~r/not_running/, fn -> ZenMonitor.monitor(hd(pids)) end
      assert_raise ErlangError, ~r/not_running/, fn -> ZenMonitor.Set.put(set, pids) end
      assert inspect(set) =~ "closed"
      assert_raise ErlangError, ~r/not_running/, fn -> ZenMonitor.demonitor(hd(refs)) end

      {:ok, _} = Application.ensure_all_started(:zen_monitor)
      assert Native.sizes() |> Keyword.values() |> Enum.sum() == 0
      # The monitors of before are unknown now.
      refute ZenMonitor.demonitor(hd(refs), [:info])
      assert_raise ArgumentError, ~r/is closed/, fn -> ZenMonitor.Set.put(set, pids) end
      ref = watch(hd(pids))
      on(peer, :kill, [pids])
      assert downs([ref]) == %{ref => :killed}
    end
  end

  # The processes whose death must not fire anything, without the supervisors.
  defp victims do
    [
      ZenMonitor.Tables,
      ZenMonitor.Local,
      ZenMonitor.Local.Tables,
      Dispatcher,
      ZenMonitor.Local.Connectors,
      {:children, ZenMonitor.Local.Connectors.supervisor()},
      {:remote, ZenMonitor.Proxy.Tables},
      {:remote, {:children, ZenMonitor.Proxy.Batcher.supervisor()}}
    ]
  end

  defp kill_victim(peer, {:remote, victim}), do: on(peer, :kill_victim, [victim])
  defp kill_victim(_peer, victim), do: PeerScript.kill_victim(victim)

  # Half of the targets die around the crash, the other half long after it.
  defp survive(peer, crash, amount \\ @amount) do
    {early, late} = Enum.split(on(peer, :targets, [amount]), div(amount, 2))
    refs = watch_all(early ++ late)
    sets = for bulk <- [false, true], do: watch_in_set(early ++ late, bulk: bulk)
    on(peer, :kill, [Enum.take(early, 500)])
    wait_until(fn -> due() > 0 end)
    task = Task.async(fn -> on(peer, :kill, [early]) end)
    crash.()
    Task.await(task, 30_000)
    wait_until(fn -> Process.whereis(Dispatcher) && Process.whereis(ZenMonitor.Local.Tables) end)
    on(peer, :kill, [late])
    reasons = refs |> downs() |> Map.values()
    # Each set reports every target, and each of them once.
    reasons ++ (sets |> Task.await_many(60_000) |> Enum.concat())
  end

  defp due, do: Metrics.get("zen_monitor.local.enqueue")
end
