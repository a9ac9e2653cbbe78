defmodule ZenMonitor.NodeDeathTest do
  # What the death of a node costs, and what may happen while its monitors still wait.
  use ZenMonitor.Case

  alias ZenMonitor.Local
  alias ZenMonitor.Local.{Connector, Connectors, Dispatcher}

  @amount 200_000
  @gone :zen_gone@nowhere

  test "costs no memory up front, and less than 20 bytes per DOWN while they wait" do
    # The node has no Connector, and the test does the work of one. `Connectors` looks for nodes without a Connector when
    # it starts, so the test waits until that is done.
    :sys.get_state(Connectors)
    place = fn -> for number <- 1..@amount, do: monitor_by_hand(number) end
    watcher = spawn_link(fn -> wait_for(place) end)
    send(watcher, {:place, self()})
    assert_receive :placed, 20_000
    take_all()
    for process <- [Dispatcher, Local], do: :sys.suspend(process)

    before = :erlang.memory(:system)
    Native.connector_expire(@gone)
    assert :erlang.memory(:system) - before < @amount
    assert Local.batch_length() == @amount

    :sys.resume(Local)
    wait_until(fn -> match?({_, false, false}, Native.backlog_expand(@amount)) end)
    assert :erlang.memory(:system) - before < 20 * @amount
    assert Local.batch_length() == @amount

    Dispatcher.demand_amount(@amount)
    resume_stage(Dispatcher)
    wait_until(fn -> Local.batch_length() == 0 end)
    assert standing() == 0
    assert :erlang.memory(:system) - before < 20 * @amount
  end

  describe "is expanded with pauses:" do
    setup do
      peer = start_connected_peer()
      pids = on(peer, :targets, [13_000])
      %{peer: peer, refs: watch_all(pids)}
    end

    test "one after each part, which is large if the budget is", %{peer: peer, refs: refs} do
      # 6,000 in two milliseconds: two parts, and the beginning of a third.
      Dispatcher.demand_interval(100)
      Dispatcher.demand_amount(300_000)
      assert pauses(peer, refs) == 2
    end

    test "by default, in parts of a thousand", %{peer: peer, refs: refs} do
      Dispatcher.demand_interval(100)
      # Of each target and monitor a part may have a few more.
      assert pauses(peer, refs) in 11..12
    end

    test "an exit on another node does not wait for it", %{peer: peer} do
      other = start_connected_peer()
      pid = on(other, :target)
      ref = watch(pid)
      # Its part of the work is done by nobody.
      :sys.suspend(Local)
      # If only the link were cut, `global` would have the other node disconnect as well.
      Cluster.kill(peer)
      wait_until(fn -> Local.batch_length() == 13_000 end)
      Process.exit(pid, :kill)
      assert reason(ref) == :killed
      assert Local.batch_length() == 13_000
      :sys.resume(Local)
    end
  end

  describe "while the monitors of a dead node wait" do
    setup do
      Dispatcher.demand_amount(1)
      Dispatcher.demand_interval(10)
      peer = start_connected_peer()
      pids = on(peer, :targets, [200])
      %{peer: peer, pids: pids, refs: watch_all(pids)}
    end

    test "a demonitor wins", %{peer: peer, refs: refs} do
      {removed, kept} = Enum.split(Enum.shuffle(refs), 100)

      while_suspended(200, fn ->
        Cluster.disconnect(peer)
        wait_until(fn -> Local.batch_length() == 200 end)
        # So that few are delivered before the demonitors, however busy the machine is.
        Dispatcher.demand_interval(1_000)
      end)

      gone = Enum.filter(removed, &ZenMonitor.demonitor(&1, [:info]))
      # At most a few were delivered in the meantime.
      assert length(gone) > 50
      Dispatcher.demand_interval(1)
      reasons = downs(kept ++ (removed -- gone))
      assert reasons |> Map.values() |> Enum.uniq() == [:nodedown]
    end

    test "new ones on the node that is back are kept apart", context do
      %{peer: peer, pids: pids, refs: refs} = context
      Dispatcher.demand_interval(50)
      Cluster.disconnect(peer)
      Cluster.connect(peer)
      later = watch_all(pids)
      # Most of the old monitors still wait.
      assert Local.batch_length() > 0
      assert [_] = Connector.monitors(hd(pids), self())
      Dispatcher.demand_interval(1)
      Dispatcher.demand_amount(1_000)
      reasons = downs(refs)
      assert reasons |> Map.values() |> Enum.uniq() == [:nodedown]
      assert standing() == 200

      wait_until_subscribed(pids)
      for pid <- pids, do: send(pid, {:exit, :told})
      assert later |> downs() |> Map.values() |> Enum.uniq() == [:told]
    end
  end

  # How often `Local` pauses while the peer's death is expanded.
  defp pauses(peer, refs) do
    local = Process.whereis(Local)
    :erlang.trace(local, true, [:receive, :send])
    Cluster.disconnect(peer)
    assert refs |> downs() |> Map.values() |> Enum.uniq() == [:nodedown]
    wait_until(fn -> Native.sizes()[:backlog] == 0 end)

    # It wakes itself after each native call. What else wakes it is the bell, and the end of a pause.
    traced(local, :receive, :wake) - traced(local, :send, :wake) - 1
  end

  # How often a process that is traced has received a message, or sent it to itself.
  defp traced(pid, event, message) do
    receive do
      {:trace, ^pid, ^event, ^message} -> 1 + traced(pid, event, message)
      {:trace, ^pid, ^event, ^message, ^pid} -> 1 + traced(pid, event, message)
    after
      0 -> 0
    end
  end

  defp monitor_by_hand(number) do
    pid =
      :erlang.binary_to_term(<<131, 88, 119, 16, "zen_gone@nowhere", number::32, 0::32, 1::32>>)

    Native.monitor(self(), @gone, pid, make_ref())
  end

  defp wait_for(place) do
    receive do
      {:place, from} ->
        place.()
        send(from, :placed)
        discard()
    end
  end

  defp discard do
    receive do
      {:DOWN, _, _, _, _} -> discard()
    end
  end

  defp take_all do
    {_, emptied?} = Native.connector_take(@gone, @gone, 1_000)
    Native.connector_confirm(@gone)
    emptied? || take_all()
  end
end
