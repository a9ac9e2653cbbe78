defmodule ZenMonitor.OptionsTest do
  # The options of `ZenMonitor.monitor/2`.
  use ZenMonitor.Case

  alias ZenMonitor.Local
  alias ZenMonitor.Local.Dispatcher

  setup_all do
    %{peer: start_connected_peer()}
  end

  describe "a tag" do
    test "takes the place of :DOWN, as with Process.monitor/2", %{peer: peer} do
      for tag <- [:gone, {:gone, self(), make_ref()}, "gone", %{members: [1, 2.0]}, fn -> 1 end] do
        pid = on(peer, :target)
        ref = ZenMonitor.monitor(pid, tag: tag)
        wait_until_watched(pid)
        Process.exit(pid, :kill)
        assert_receive {^tag, ^ref, :process, ^pid, {:zen_monitor, :killed}}, 10_000
        remote = :erlang.monitor(:process, pid, tag: tag)
        assert_receive {^tag, ^remote, :process, ^pid, :noproc}, 10_000
      end
    end

    test "that is huge comes, too, and one that waits while its node gets a name", %{peer: peer} do
      pid = on(peer, :target)
      tag = {self(), Enum.to_list(1..50_000), String.duplicate("x", 100_000)}
      ref = ZenMonitor.monitor(pid, tag: tag)
      wait_until_watched(pid)
      Process.exit(pid, :kill)
      assert_receive {^tag, ^ref, :process, ^pid, {:zen_monitor, :killed}}, 10_000

      lonely = Cluster.start_peer(distributed: false)
      assert Cluster.call(lonely, PeerScript, :tag_across_a_name, []) in [:late, :noproc]
    end

    test "that is large makes no call deliver for long", %{peer: peer} do
      pids = on(peer, :targets, [64])
      tag = Enum.map(1..7_000, &{&1})
      for pid <- pids, do: ZenMonitor.monitor(pid, tag: tag)
      wait_until_watched(List.last(pids))
      suspend_stage(Dispatcher)
      on(peer, :kill, [pids])
      wait_until(fn -> Local.batch_length() == 64 end)
      assert {sent, true} = Native.dispatcher_deliver(node(), 64, :all)
      assert sent in 1..16
      resume_stage(Dispatcher)
    end

    test "that is large slows no other delivery, be its monitor due or not", %{peer: peer} do
      [standing, due] = on(peer, :targets, [2])
      tag = Enum.to_list(1..1_000)
      ZenMonitor.monitor(standing, tag: tag)
      ref = ZenMonitor.monitor(due, tag: tag)
      wait_until_watched(due)
      assert Native.sizes()[:heavy] == 0

      while_suspended(1, fn ->
        on(peer, :kill, [[due]])
        wait_until(fn -> Local.batch_length() == 1 end)
        assert Native.sizes()[:heavy] == 0
      end)

      assert_receive {^tag, ^ref, :process, ^due, {:zen_monitor, :killed}}, 10_000
    end

    test "comes with what is monitored by name", %{peer: peer} do
      on(peer, :named_target, [:zen_tagged])
      there = ZenMonitor.monitor({:zen_tagged, peer.node}, tag: :there)
      here = ZenMonitor.monitor(:zen_nobody, tag: :here)
      node = peer.node
      assert_receive {:here, ^here, :process, {:zen_nobody, _}, {:zen_monitor, :noproc}}, 10_000
      wait_until(fn -> on(peer, :named_watched?, [:zen_tagged]) end)
      on(peer, :kill_named, [:zen_tagged])

      assert_receive {:there, ^there, :process, {:zen_tagged, ^node}, {:zen_monitor, :killed}},
                     10_000
    end

    test "is flushed by demonitor/2" do
      ref = ZenMonitor.monitor(PeerScript.dead_target(), tag: {:any, :tag})
      wait_until(fn -> standing() == 0 end)
      assert ZenMonitor.demonitor(ref, [:flush, :info]) == false
      refute_received {{:any, :tag}, ^ref, _, _, _}
    end

    test "goes with its monitor", %{peer: peer} do
      for tag <- [:gone, {:small, "tag"}, Enum.to_list(1..1_000)] do
        [pid, other] = on(peer, :targets, [2])
        ref = ZenMonitor.monitor(pid, tag: tag)
        assert ZenMonitor.demonitor(ref, [:info])
        refute ZenMonitor.demonitor(ref, [:info])
        assert standing() == 0
        # Another process tries to remove this one.
        ref = ZenMonitor.monitor(other, tag: tag)
        refute Task.await(Task.async(fn -> ZenMonitor.demonitor(ref, [:info]) end))
        assert ZenMonitor.Local.Connector.monitors(other, self()) == [ref]
        assert ZenMonitor.demonitor(ref, [:info])
      end
    end

    test "of a process that dies is forgotten with its monitors", %{peer: peer} do
      pids = on(peer, :targets, [500])
      before = :erlang.memory(:system)

      for _ <- 1..40 do
        subscriber =
          spawn(fn ->
            for pid <- pids,
                do:
                  ZenMonitor.monitor(pid,
                    tag: Enum.random([{:gone, Enum.to_list(1..100)}, Enum.to_list(1_001..1_300)])
                  )

            Process.sleep(:infinity)
          end)

        wait_until(fn -> standing() == 500 end)
        kill(subscriber)
        wait_until(fn -> standing() == 0 end)
      end

      # 40 times 500 tags of 1,600 bytes would be 32 MB.
      assert :erlang.memory(:system) - before < 16_000_000
    end
  end

  describe "an alias" do
    test "is what the reference is, until it is ended", %{peer: peer} do
      pid = on(peer, :target)
      ref = ZenMonitor.monitor(pid, alias: :explicit_unalias)
      send(ref, :from_here)
      assert_receive :from_here
      wait_until_watched(pid)
      assert ZenMonitor.Local.Connector.monitors(pid, self()) == [ref]
      Process.exit(pid, :kill)
      assert down(ref) == {pid, :killed}
      send(ref, :still)
      assert_receive :still
      assert :erlang.unalias(ref)
      send(ref, :ended)
      refute_receive :ended, 50
    end

    test "outlives demonitor/2, as Process.monitor/2 has it" do
      ref = ZenMonitor.monitor(self(), alias: :explicit_unalias, tag: :gone)
      assert ZenMonitor.demonitor(ref, [:info])
      send(ref, :still)
      assert_receive :still
      assert :erlang.unalias(ref)
    end

    test "of another mode is refused, and what to do instead is told" do
      for mode <- [:demonitor, :reply_demonitor] do
        error = assert_raise ArgumentError, fn -> ZenMonitor.monitor(self(), alias: mode) end

        assert error.message =~ inspect(mode)
        assert error.message =~ "explicit_unalias"
      end
    end
  end

  test "what is no option is refused, and places nothing" do
    for options <- [
          [:tag],
          [tag: 1, what: 2],
          [alias: :what],
          [bulk: :yes],
          [bulk: true, tag: :gone],
          [bulk: true, alias: :explicit_unalias],
          [{:tag, 1} | :improper],
          :bulk,
          %{}
        ] do
      assert_raise ArgumentError, fn -> ZenMonitor.monitor(self(), options) end
    end

    assert_raise ArgumentError, fn -> ZenMonitor.monitor("what", tag: 1) end
    assert standing() == 0
  end

  test "no option is none" do
    for options <- [[], [bulk: false]] do
      ref = ZenMonitor.monitor(PeerScript.dead_target(), options)
      assert reason(ref) == :noproc
    end
  end

  describe "bulk monitors" do
    test "share one message for all that is due in an interval", %{peer: peer} do
      pids = on(peer, :targets, [1_000])
      refs = bulk(pids)
      kill_suspended(peer, pids, 1_000)
      assert_receive {:DOWN, :bulk, entries}, 10_000

      assert Enum.sort(entries) ==
               Enum.sort(for {ref, pid} <- refs, do: {ref, pid, {:zen_monitor, :killed}})

      wait_until(fn -> standing() == 0 end)
      refute_received {:DOWN, _, _}
      assert Metrics.get("zen_monitor.local.dispatcher.events.delivered") == 1_000
      assert Metrics.get("zen_monitor.local.batch_length") == 0
    end

    test "have a message when there is only one", %{peer: peer} do
      on(peer, :named_target, [:zen_bulk])
      ref = ZenMonitor.monitor({:zen_bulk, peer.node}, bulk: true)
      wait_until(fn -> on(peer, :named_watched?, [:zen_bulk]) end)
      on(peer, :kill_named, [:zen_bulk])
      node = peer.node
      assert_receive {:DOWN, :bulk, [{^ref, {:zen_bulk, ^node}, {:zen_monitor, :killed}}]}, 10_000
    end

    test "are each counted towards the demand", %{peer: peer} do
      Dispatcher.demand_amount(50)
      Dispatcher.demand_interval(20)
      pids = on(peer, :targets, [500])
      bulk(pids)
      kill_suspended(peer, pids, 500)

      for _ <- 1..10 do
        assert_receive {:DOWN, :bulk, entries}, 10_000
        assert length(entries) == 50
      end

      refute_receive {:DOWN, _, _}, 50
    end

    test "come in messages of bounded size, however great the demand", %{peer: peer} do
      Dispatcher.demand_amount(10_000)
      pids = on(peer, :targets, [3_500])
      bulk(pids)
      kill_suspended(peer, pids, 3_500)
      assert [1_000, 1_000, 1_000, 500] == Enum.sort(sizes(3_500), :desc)
    end

    test "come in smaller messages when their reasons are large", %{peer: peer} do
      pids = on(peer, :targets, [200])
      bulk(pids)
      suspend_stage(Dispatcher)
      # The reasons are long strings, since atoms, which are not truncated either, are short.
      for pid <- pids, do: send(pid, {:exit, {make_ref(), String.duplicate("x", 1_000)}})
      wait_until(fn -> ZenMonitor.Local.batch_length() == 200 end)
      resume_stage(Dispatcher)
      sizes = sizes(200)
      assert length(sizes) in 4..12
    end

    test "have a message of their own for each subscriber, and all take turns", %{peer: peer} do
      Dispatcher.demand_amount(40)
      Dispatcher.demand_interval(50)
      pids = on(peer, :targets, [100])
      test = self()

      subscribers =
        for _ <- 1..4 do
          spawn(fn ->
            for pid <- pids, do: ZenMonitor.monitor(pid, bulk: true)
            send(test, :placed)
            report(test)
          end)
        end

      for _ <- subscribers, do: assert_receive(:placed, 10_000)
      wait_until_watched(List.last(pids))
      kill_suspended(peer, pids, 400)

      for _ <- 1..10 do
        turn = for _ <- 1..4, do: assert_receive({:got, _, 10}, 10_000)
        assert turn |> Enum.map(&elem(&1, 1)) |> Enum.sort() == Enum.sort(subscribers)
      end
    end

    test "do not delay another's monitor without the option", %{peer: peer} do
      Dispatcher.demand_amount(100)
      Dispatcher.demand_interval(50)
      pids = on(peer, :targets, [2_000])
      single = on(peer, :target)
      bulk(pids)
      test = self()

      spawn(fn ->
        ref = ZenMonitor.monitor(single)
        receive do: ({:DOWN, ^ref, _, _, {:zen_monitor, reason}} -> send(test, {:single, reason}))
      end)

      wait_until_watched(single)
      suspend_stage(Dispatcher)
      on(peer, :kill, [pids ++ [single]])
      wait_until(fn -> ZenMonitor.Local.batch_length() == 2_001 end)
      resume_stage(Dispatcher)
      assert_receive {:single, :killed}, 10_000
      assert ZenMonitor.Local.batch_length() >= 1_000
      sizes(2_000)
    end

    test "that are removed while they are due are in no message", %{peer: peer} do
      pids = on(peer, :targets, [100])
      refs = bulk(pids)
      suspend_stage(Dispatcher)
      on(peer, :kill, [pids])
      wait_until(fn -> ZenMonitor.Local.batch_length() == 100 end)
      {removed, kept} = refs |> Enum.map(&elem(&1, 0)) |> Enum.split(40)
      for ref <- removed, do: assert(ZenMonitor.demonitor(ref, [:info, :flush]))
      assert ZenMonitor.Local.batch_length() == 60
      resume_stage(Dispatcher)
      assert_receive {:DOWN, :bulk, entries}, 10_000
      assert Enum.sort(for {ref, _, _} <- entries, do: ref) == Enum.sort(kept)
    end

    test "that are removed while others are delivered are in no message sent later", %{peer: peer} do
      Dispatcher.demand_amount(20)
      Dispatcher.demand_interval(1)

      for _ <- 1..5 do
        pids = on(peer, :targets, [600])
        refs = for {ref, _} <- bulk(pids), do: ref
        :rand.seed(:exsss, {1, 2, 3})
        removed = Enum.take_random(refs, 300)
        on(peer, :kill, [pids])

        gone =
          for ref <- removed, reduce: MapSet.new() do
            gone ->
              ZenMonitor.demonitor(ref, [:flush])
              gone = MapSet.put(gone, ref)
              if rem(MapSet.size(gone), 10) == 0, do: assert_none(gone, [])
              gone
          end

        left = MapSet.new(refs -- removed)
        assert gone == MapSet.new(removed)
        assert collect(MapSet.new(), MapSet.size(left)) == left
      end

      wait_until(fn -> standing() == 0 end)
      refute_receive {:DOWN, _, _}, 50
    end

    test "are flushed out of a message in the mailbox; the others stay, in order", %{peer: peer} do
      Dispatcher.demand_amount(10)
      Dispatcher.demand_interval(1)
      pids = on(peer, :targets, [30])
      refs = for {ref, _} <- bulk(pids), do: ref
      kill_suspended(peer, pids, 30)
      wait_until(fn -> standing() == 0 end)
      send(self(), :noise)
      before = for {:DOWN, :bulk, entries} <- messages(), do: entries
      assert length(before) == 3
      flushed = [List.first(refs), Enum.at(refs, 15)]
      for ref <- flushed, do: refute(ZenMonitor.demonitor(ref, [:flush, :info]))
      assert ZenMonitor.demonitor(make_ref(), [:flush])

      left = for {:DOWN, :bulk, entries} <- messages(), do: entries

      assert left ==
               for(
                 entries <- before,
                 do: Enum.reject(entries, fn {ref, _, _} -> ref in flushed end)
               )

      for ref <- refs, do: ZenMonitor.demonitor(ref, [:flush])
      assert messages() == [:noise]
    end

    test "of a process that dies are swept", %{peer: peer} do
      pids = on(peer, :targets, [300])
      test = self()

      subscriber =
        spawn(fn ->
          for pid <- pids, do: ZenMonitor.monitor(pid, bulk: true)
          for pid <- pids, do: ZenMonitor.monitor(pid)
          for pid <- pids, do: ZenMonitor.monitor(pid, tag: :gone)
          send(test, :placed)
          Process.sleep(:infinity)
        end)

      assert_receive :placed, 10_000
      assert standing() == 900
      kill(subscriber)
      wait_until(fn -> standing() == 0 end)
    end

    test "are neither lost nor doubled when the Dispatcher is killed", %{peer: peer} do
      Dispatcher.demand_amount(100)
      Dispatcher.demand_interval(5)
      pids = on(peer, :targets, [3_000])
      refs = for {ref, _} <- bulk(pids), do: ref
      kill_suspended(peer, pids, 3_000)

      for _ <- 1..20 do
        PeerScript.kill_name(Dispatcher)
        Process.sleep(5)
      end

      assert collect(MapSet.new(), 3_000) == MapSet.new(refs)
      refute_receive {:DOWN, _, _}, 50
    end

    test "fire when their node goes down" do
      peer = start_connected_peer()
      refs = peer |> on(:targets, [100]) |> bulk() |> Enum.map(&elem(&1, 0))
      Cluster.disconnect(peer)
      fired = for {ref, _, {:zen_monitor, :nodedown}} <- entries(100), do: ref
      assert Enum.sort(fired) == Enum.sort(refs)
    end
  end

  defp bulk(pids) do
    refs = for pid <- pids, do: {ZenMonitor.monitor(pid, bulk: true), pid}
    wait_until_watched(List.last(pids))
    refs
  end

  defp kill_suspended(peer, pids, due) do
    suspend_stage(Dispatcher)
    on(peer, :kill, [pids])
    wait_until(fn -> ZenMonitor.Local.batch_length() == due end)
    resume_stage(Dispatcher)
  end

  # Receives messages until there are so many entries.
  defp entries(0), do: []

  defp entries(left) do
    assert_receive {:DOWN, :bulk, entries}, 10_000
    entries ++ entries(left - length(entries))
  end

  defp sizes(left) when left <= 0, do: []

  defp sizes(left) do
    assert_receive {:DOWN, :bulk, entries}, 10_000
    [length(entries) | sizes(left - length(entries))]
  end

  # The references of so many entries. Each must come once.
  defp collect(seen, 0), do: seen

  defp collect(seen, left) do
    assert_receive {:DOWN, :bulk, entries}, 10_000
    refs = MapSet.new(entries, &elem(&1, 0))
    assert MapSet.disjoint?(seen, refs) and MapSet.size(refs) == length(entries)
    collect(MapSet.union(seen, refs), left - length(entries))
  end

  defp assert_none(refs, seen) do
    receive do
      {:DOWN, :bulk, entries} ->
        for {ref, _, _} <- entries, do: refute(MapSet.member?(refs, ref))
        assert_none(refs, [entries | seen])
    after
      0 -> for entries <- Enum.reverse(seen), do: send(self(), {:DOWN, :bulk, entries})
    end
  end

  defp messages do
    {:messages, messages} = Process.info(self(), :messages)
    messages
  end

  defp report(to) do
    receive do
      {:DOWN, :bulk, entries} -> send(to, {:got, self(), length(entries)})
    end

    report(to)
  end
end
