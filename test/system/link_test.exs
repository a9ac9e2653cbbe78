defmodule ZenMonitor.LinkTest do
  # Real cuts of real connections, in all the ways that one machine allows. After each of them, no
  # monitor is left unfired that should have fired, none has fired for a target whose connection
  # stood, and new monitors work: in both directions. A bystander is connected to both; with OTP's
  # default flags `global` has it drop both ends of a link that one of them has cut.
  use ZenMonitor.Case

  alias ZenMonitor.Local.Connector

  @moduletag timeout: :infinity

  setup do
    Connector.sweep_interval(5)
    peer = start_connected_peer(env: [connector_sweep_interval: 5])
    bystander = start_connected_peer()
    standing = PeerScript.watcher()
    target = on(bystander, :target)
    PeerScript.place(standing, target)
    wait_until_watched(target)
    :ok = :net_kernel.monitor_nodes(true)
    %{peer: peer, bystander: bystander, standing: standing}
  end

  test "cut by this side", context do
    survive(context, fn peer -> Node.disconnect(peer.node) end)
  end

  test "cut by the other side", context do
    survive(context, fn peer -> Cluster.call(peer, Node, :disconnect, [node()]) end)
  end

  test "cut by this side while the other is stopped, and notices later", context do
    survive(context, fn peer ->
      Cluster.suspend(peer)
      Node.disconnect(peer.node)
      wait_until(fn -> standing() == 1 end)
      Cluster.resume(peer)
    end)
  end

  test "cut by the other side while this one's Connector is stopped, and notices later",
       context do
    survive(context, fn peer ->
      connector = Connector.get_for_node(peer.node)
      :sys.suspend(connector)
      Cluster.call(peer, Node, :disconnect, [node()])
      wait_until(fn -> Cluster.call(peer, Node, :ping, [node()]) == :pong end)
      :sys.resume(connector)
    end)
  end

  test "cut by the death of the VM, which comes back under its name", context do
    %{peer: peer} = context
    former = on(peer, :target)

    peer =
      survive(context, fn peer ->
        Cluster.kill(peer)
        wait_until(fn -> peer.node not in Node.list(:connected) end)
        Cluster.start_peer(name: peer.node)
      end)

    # A pid of the former life is no process, even if a process of this life has the same number.
    ref = ZenMonitor.monitor(former)
    assert reason(ref) == :noproc
    target = on(peer, :target)
    ref = watch(target)
    refute target == former
    Process.exit(target, :kill)
    assert reason(ref) == :killed
  end

  test "cut by the net tick, because the VM is stopped" do
    # These are peers of their own, since all connected nodes must have the same tick time.
    ticks = [kernel: [net_ticktime: 2]]
    [observer, stopped] = for _ <- 1..2, do: Cluster.start_peer(ticks)
    there = fn function, arguments -> Cluster.call(observer, PeerScript, function, arguments) end
    true = Cluster.call(observer, Node, :connect, [stopped.node])
    pids = Cluster.call(stopped, PeerScript, :targets, [100])
    watcher = there.(:watcher, [])
    for pid <- pids, do: there.(:place, [watcher, pid])
    wait_until(fn -> Enum.all?(pids, &Cluster.call(stopped, PeerScript, :watched?, [&1])) end)

    Cluster.suspend(stopped)
    wait_until(fn -> length(there.(:received, [watcher])) == 100 end)
    Cluster.resume(stopped)

    fired =
      for {:DOWN, _, _, pid, {:zen_monitor, :nodedown}} <- there.(:received, [watcher]), do: pid

    assert Enum.sort(fired) == Enum.sort(pids)
    wait_until(fn -> not Enum.any?(pids, &Cluster.call(stopped, PeerScript, :watched?, [&1])) end)

    wait_until(fn -> Cluster.call(observer, Node, :connect, [stopped.node]) end)
    again = there.(:watcher, [])
    there.(:place, [again, hd(pids)])
    wait_until(fn -> Cluster.call(stopped, PeerScript, :watched?, [hd(pids)]) end)
    Cluster.call(stopped, PeerScript, :kill, [pids])
    wait_until(fn -> there.(:received, [again]) != [] end)
    assert [{:DOWN, _, _, _, {:zen_monitor, :killed}}] = there.(:received, [again])
    assert length(there.(:received, [watcher])) == 100
  end

  test "cut and restored at once, 30 times", context do
    flap(context, 30)
  end

  @tag :soak
  test "cut and restored at once, 1,000 times", context do
    times = flap(context, 1_000)
    median = times |> Enum.sort() |> Enum.at(500)

    IO.puts(
      "#{Enum.count(times, &(&1 < 5_000))} of 1,000 took less than 5 ms, the median #{median} µs"
    )
  end

  # Every round monitors ten targets before the cut and ten after it, and ends without a monitor.
  defp flap(%{peer: peer} = context, rounds) do
    targets = on(peer, :targets, [20])
    watch_all(targets) |> Enum.each(&ZenMonitor.demonitor/1)

    times =
      for round <- 1..rounds do
        {before, later} = Enum.split(targets, 10)
        reconnect(peer)
        refs = for target <- before, do: ZenMonitor.monitor(target)
        # In every other round, the test waits until the subscriptions are sent.
        if rem(round, 2) == 0, do: await_watched(peer, before, Cluster.flags())
        time = restore(peer)
        later_refs = for target <- later, do: ZenMonitor.monitor(target)
        await_watched(peer, [hd(later)], Cluster.flags())

        # Monitors whose subscription was sent over the old connection fire. Others may be subscribed over the new one.
        for ref <- refs, do: fired_or_removed(ref, rem(round, 2) == 0)
        for ref <- later_refs, do: fired_or_removed(ref, false)
        # The next round must not find the subscriptions of this one.
        wait_until(fn -> not Enum.any?([hd(before), List.last(later)], &watched?(peer, &1)) end)
        wait_until(fn -> Native.sizes()[:targets] == standing() and standing() <= 1 end)
        time
      end

    settle(context)
    assert_bystander(context, Cluster.flags())
    last = for target <- targets, do: ZenMonitor.monitor(target)
    wait_until_subscribed(targets)
    on(peer, :kill, [targets])
    assert downs(last) |> Map.values() |> Enum.uniq() == [:killed]
    times
  end

  defp await_watched(peer, targets, :alone), do: wait_until(fn -> watched?(peer, targets) end)

  # `global` may hear of the former cut late, and cut once more. That fires the monitors.
  defp await_watched(peer, targets, :default) do
    wait_until(fn -> watched?(peer, targets) or not Enum.any?(targets, &monitored?/1) end)
  end

  defp monitored?(target), do: Connector.monitors(target, self()) != []

  # This works without a connection, too.
  defp watched?(peer, targets), do: Cluster.call(peer, PeerScript, :watched?, [targets])

  defp fired_or_removed(ref, true), do: assert(reason(ref) == :nodedown)

  defp fired_or_removed(ref, false) do
    unless ZenMonitor.demonitor(ref, [:info]), do: assert(reason(ref) == :nodedown)
  end

  # How long it took, in microseconds.
  defp restore(peer) do
    {time, _} =
      :timer.tc(fn ->
        Node.disconnect(peer.node)
        reconnect(peer)
      end)

    time
  end

  # The other side may not be rid of the former connection yet.
  defp reconnect(peer), do: Node.connect(peer.node) == true || reconnect(peer)

  # Places monitors in both directions, some of them not sent yet, and cuts. Then they must have fired, and new
  # ones must work. `cut` may return the peer that took the place of the old one.
  defp survive(%{peer: peer} = context, cut) do
    [target | _] = targets = on(peer, :targets, [500])
    refs = watch_all(targets)
    set = watch_in_set(targets)
    own = PeerScript.target()
    watcher = on(peer, :watcher)
    on(peer, :place, [watcher, own])
    wait_until_watched(own)

    answer = cut.(peer)
    assert downs(refs) |> Map.values() |> Enum.uniq() == [:nodedown]
    assert set |> Task.await(60_000) |> Enum.uniq() == [:nodedown]
    peer = if is_struct(answer, Cluster), do: answer, else: peer
    received = fn -> Cluster.call(peer, PeerScript, :received, [watcher]) end

    # The watcher of a dead VM died with it.
    unless answer == peer do
      wait_until(fn -> match?([{:DOWN, _, _, ^own, {:zen_monitor, :nodedown}}], received.()) end)
    end

    wait_until(fn -> not watched?(own) end)
    settle(%{context | peer: peer})
    target = if answer == peer, do: on(peer, :target), else: target
    ref = ZenMonitor.monitor(target)
    wait_until_subscribed(target)
    watcher = on(peer, :watcher)
    on(peer, :place, [watcher, own])
    wait_until_watched(own)
    Process.exit(target, :kill)
    assert reason(ref) == :killed
    Process.exit(own, :kill)
    wait_until(fn -> match?([_], on(peer, :received, [watcher])) end)
    assert [{:DOWN, _, _, ^own, {:zen_monitor, :killed}}] = on(peer, :received, [watcher])

    assert_bystander(context, Cluster.flags())
    peer
  end

  # Connects to the peer, and waits until nothing is cut any more. With OTP's default flags, the bystander is
  # part of the mesh, and one cut may be followed by others.
  defp settle(%{peer: peer, bystander: bystander}) do
    wait_until(fn -> Node.connect(peer.node) == true end)
    if Cluster.flags() == :default, do: Cluster.mesh([Cluster.here(), peer, bystander])
  end

  defp assert_bystander(%{bystander: bystander, standing: standing}, :alone) do
    assert PeerScript.received(standing) == []
    assert standing() == 1
    assert bystander.node in Node.list(:connected)
  end

  # Whether the bystander was dropped depends on which node heard of the cut first. If it was dropped, the monitor
  # must have fired once, and otherwise not at all.
  defp assert_bystander(%{bystander: %{node: node}, standing: standing}, :default) do
    lost? = lost?(node)
    fired = for {_, _, _, _, {:zen_monitor, reason}} <- PeerScript.received(standing), do: reason
    assert fired == if(lost?, do: [:nodedown], else: [])
    assert standing() == if(lost?, do: 0, else: 1)
  end

  defp lost?(node) do
    receive do
      {:nodedown, ^node} -> true
    after
      0 -> false
    end
  end
end
