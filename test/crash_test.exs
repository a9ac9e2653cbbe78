defmodule ZenMonitor.CrashTest do
  # Kills one process of the tree after the other, here and on the other node, while monitors stand,
  # fall due, and are being delivered.
  use ZenMonitor.Case

  alias ZenMonitor.Local.{Connector, Dispatcher}

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
    reasons = survive(peer, fn -> on(peer, :kill_name, [ZenMonitor.Proxy]) end)
    assert Enum.uniq(reasons) -- [:killed, :nodedown] == []
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
    wait_until(fn -> Connector.get(pid) != former and watched?(pid) and watched?(other) end)
    # That of the former one is gone, or about to be.
    Process.sleep(50)
    wait_until_watched(other)
    send(pid, {:exit, :told})
    assert downs([ref]) == %{ref => :told}
  end

  test "of a Connector while the connection is cut fires what was lost", %{peer: _} do
    peer = start_connected_peer()
    pids = on(peer, :targets, [@amount])
    refs = watch_all(pids)
    connector = Connector.get_for_node(peer.node)
    # It never sees the nodedown.
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
    wait_until_watched(List.last(pids))
    :sys.suspend(ZenMonitor.Local.Tables)
    kill(watcher)
    PeerScript.kill_name(ZenMonitor.Local.Tables)
    wait_until(fn -> standing() == 0 end)
    wait_until(fn -> not Enum.any?(pids, &watched?/1) end)
  end

  # Half of the targets die around the crash, the other half long after it.
  defp survive(peer, crash) do
    {early, late} = Enum.split(on(peer, :targets, [@amount]), div(@amount, 2))
    refs = watch_all(early ++ late)
    on(peer, :kill, [Enum.take(early, 500)])
    wait_until(fn -> due() > 0 end)
    task = Task.async(fn -> on(peer, :kill, [early]) end)
    crash.()
    Task.await(task, 30_000)
    wait_until(fn -> Process.whereis(Dispatcher) && Process.whereis(ZenMonitor.Local.Tables) end)
    on(peer, :kill, [late])
    refs |> downs() |> Map.values()
  end

  defp due, do: Metrics.get("zen_monitor.local.enqueue")
end
