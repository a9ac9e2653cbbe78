defmodule ZenMonitor.InfoTest do
  use ZenMonitor.Case

  alias ZenMonitor.Local.Dispatcher

  setup do
    %{peer: start_connected_peer()}
  end

  describe "Metrics.snapshot/1" do
    test "shows the busiest nodes and subscribers", %{peer: %{node: there} = peer} do
      idle = start_connected_peer()
      ZenMonitor.connect(idle.node)
      pids = on(peer, :targets, [30])
      guild = PeerScript.named_watcher(:zen_guild)
      for pid <- pids, do: PeerScript.place(guild, pid)
      watch_all(Enum.take(pids, 10))
      wait_until_watched(pids)
      # The other node may watch before this one counts its instructions as sent.
      wait_until(fn -> Metrics.get("zen_monitor.local.connector.sweep") == 30 end)

      snapshot = Metrics.snapshot()
      assert snapshot.node == node()
      assert snapshot.complete?
      assert snapshot.metrics == Metrics.all()

      assert [
               %{
                 node: ^there,
                 compatibility: :compatible,
                 targets: 30,
                 monitors: 40,
                 instructions: 0
               },
               %{targets: 0}
             ] = snapshot.nodes

      assert [
               %{pid: ^guild, name: :zen_guild, monitors: 30, waiting: 0},
               %{pid: test, name: nil, monitors: 10}
             ] = snapshot.subscribers

      assert test == self()

      # Who has something waiting comes first.
      suspend_stage(Dispatcher)
      for pid <- Enum.take(pids, 3), do: PeerScript.remove(guild, pid)
      on(peer, :kill, [Enum.take(pids, 3)])
      wait_until(fn -> ZenMonitor.Local.batch_length() == 3 end)
      assert [%{pid: ^test, waiting: 3, monitors: 10}, _] = Metrics.snapshot().subscribers
      assert [%{pid: ^test}] = Metrics.snapshot(1).subscribers
      assert %{subscribers: [], nodes: []} = Metrics.snapshot(0)
      resume_stage(Dispatcher)
    end

    test "adds up the monitors of a process, whatever their options" do
      for options <- [[], [tag: 1], [bulk: true]], do: ZenMonitor.monitor(self(), options)
      assert [%{monitors: 3}] = Metrics.snapshot().subscribers
      assert [%{monitors: 3}] = Metrics.snapshot(1).subscribers
    end

    test "shows the largest sets, and has their members among the monitors of their owners",
         context do
      pids = on(context.peer, :targets, [300])
      [small, large, none] = for _ <- 1..3, do: ZenMonitor.Set.new()
      ZenMonitor.Set.put(small, Enum.take(pids, 10))
      ZenMonitor.Set.put(large, pids)
      ZenMonitor.monitor(hd(pids))
      {me, large_ref, small_ref} = {self(), large.ref, small.ref}

      assert %{
               sets: [
                 %{ref: ^large_ref, owner: ^me, members: 300, waiting: 0},
                 %{ref: ^small_ref, owner: ^me, members: 10, waiting: 0}
               ],
               subscribers: [%{pid: ^me, monitors: 311}]
             } = snapshot = Metrics.snapshot()

      assert %{
               "zen_monitor.local.sets" => 3,
               "zen_monitor.local.sets.members" => 310,
               "zen_monitor.local.sets.largest" => 300,
               "zen_monitor.local.ets.references.size" => 311
             } = snapshot.metrics

      assert %{sets: 3, members: 310, largest_sets: [%{ref: ^large_ref}, _]} = ZenMonitor.info()
      assert %{sets: [%{ref: ^large_ref}]} = Metrics.snapshot(1)
      assert %{sets: []} = Metrics.snapshot(0)

      assert %{monitors: 311, waiting: 0, monitoring: [_], sets: sets} = ZenMonitor.info(self())
      shown = for set <- [small, large, none], do: %{ref: set.ref, waiting: 0}
      assert Enum.sort(for set <- sets, do: Map.delete(set, :members)) == Enum.sort(shown)
      assert %{monitored: 3, monitored_by: [^me]} = ZenMonitor.info(hd(pids))
      assert %{monitors: 0, sets: []} = ZenMonitor.info(PeerScript.target())

      suspend_stage(Dispatcher)
      wait_until_watched(pids)
      on(context.peer, :kill, [tl(pids)])
      wait_until(fn -> ZenMonitor.Local.batch_length() == 308 end)
      assert [%{waiting: 299, members: 300}, %{waiting: 9}] = Metrics.snapshot().sets
      assert %{waiting: 308} = ZenMonitor.info(self())
      resume_stage(Dispatcher)
      for set <- [small, large], do: ZenMonitor.Set.close(set)
      assert %{sets: 1, members: 0, largest_sets: []} = ZenMonitor.info()
    end

    test "shows the native memory", %{peer: peer} do
      before = Metrics.get("zen_monitor.native_memory")
      pids = on(peer, :targets, [1_000])
      for _ <- 1..50, pid <- pids, do: ZenMonitor.monitor(pid)
      # 50,000 slots of 40 bytes.
      assert Metrics.get("zen_monitor.native_memory") - before > 2_000_000
    end
  end

  test "info/0 is an overview" do
    ZenMonitor.monitor(self())
    wait_until_watched(self())

    assert %{
             version: "3." <> _,
             monitors: 1,
             waiting: 0,
             watched_for_others: 1,
             nodes: [%{monitors: 1, compatibility: :compatible} = here],
             subscribers: [%{monitors: 1}]
           } = info = ZenMonitor.info()

    assert {info.node, here.node} == {node(), node()}
  end

  describe "info/1" do
    test "shows what a process watches and who watches it", %{peer: peer} do
      [pid, other] = on(peer, :targets, [2])
      on(peer, :named_target, [:zen_info])
      name = {:zen_info, peer.node}

      refs = [
        ZenMonitor.monitor(pid),
        ZenMonitor.monitor(name),
        ZenMonitor.monitor(self()),
        ZenMonitor.monitor(other, tag: :gone, alias: :explicit_unalias),
        ZenMonitor.monitor(other, bulk: true)
      ]

      info = ZenMonitor.info(self())
      assert info.monitors == 5 and info.waiting == 0

      assert Enum.sort(info.monitoring) ==
               refs |> Enum.zip([pid, name, self(), other, other]) |> Enum.sort()

      assert info.monitored == 1 and info.monitored_by == [self()]
      wait_until_watched(self())
      here = node()
      assert %{watched_by: [^here]} = ZenMonitor.info(self())

      me = self()
      assert %{monitored: 1, monitored_by: [^me], watched_by: []} = there = ZenMonitor.info(pid)
      refute Map.has_key?(there, :monitors)
      assert %{monitored: 1, monitored_by: [^me]} = ZenMonitor.info(name)
      assert %{monitored: 2, monitored_by: [^me | _]} = ZenMonitor.info(other)
    end

    test "shows the nodes that watch a process of this one", %{peer: peer} do
      target = PeerScript.named_target(:zen_watched)
      watcher = on(peer, :watcher)
      on(peer, :place, [watcher, target])
      on(peer, :place, [watcher, {:zen_watched, node()}])
      wait_until(fn -> Metrics.get("zen_monitor.proxy.ets.subscribers.size") == 2 end)
      there = peer.node

      for destination <- [target, {:zen_watched, node()}] do
        assert %{watched_by: [^there], monitored: 0} = ZenMonitor.info(destination)
      end

      assert %{monitors: 0, waiting: 0, monitoring: []} = ZenMonitor.info(:zen_watched)
    end

    test "cuts its lists, and counts all", %{peer: peer} do
      pids = on(peer, :targets, [1_000])
      for pid <- pids, do: ZenMonitor.monitor(pid)
      assert %{monitors: 1_000, monitoring: [_ | _] = listed} = ZenMonitor.info(self())
      assert length(listed) == 64
    end

    test "knows nothing of strangers, and refuses what is no destination" do
      stranger = spawn(fn -> :ok end)
      empty = %{monitored: 0, monitored_by: [], watched_by: []}
      assert %{monitors: 0, monitoring: [], monitored: 0} = ZenMonitor.info(stranger)
      assert ZenMonitor.info({:name, :nowhere@else}) == empty
      assert Enum.all?(Metrics.snapshot().nodes, &(&1.node != :nowhere@else))
      assert ZenMonitor.info(:zen_nobody) == empty
      assert_raise ArgumentError, fn -> ZenMonitor.info("what") end
      assert_raise ArgumentError, fn -> ZenMonitor.info({1, 2}) end
    end
  end
end
