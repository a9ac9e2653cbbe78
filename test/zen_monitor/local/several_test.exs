defmodule ZenMonitor.SeveralTest do
  # Many monitors placed and removed by one call, each with its reference.
  use ZenMonitor.Case

  alias ZenMonitor.{Local, Local.Dispatcher}

  setup_all do
    %{peer: start_connected_peer()}
  end

  describe "monitor_all/2" do
    test "returns the references in the order of the list", %{peer: peer} do
      on(peer, :named_target, [:zen_several])
      pids = on(peer, :targets, [300])
      name = {:zen_several, peer.node}
      refs = ZenMonitor.monitor_all(pids ++ [name, :zen_nobody | pids])
      assert length(Enum.uniq(refs)) == 602
      wait_until(fn -> on(peer, :named_watched?, [:zen_several]) end)
      own = [hd(refs), Enum.at(refs, 302)]
      assert pids |> hd() |> Local.Connector.monitors(self()) |> Enum.sort() == Enum.sort(own)
      on(peer, :kill, [pids])
      on(peer, :kill_named, [:zen_several])

      for {ref, object} <- Enum.zip(refs, pids ++ [name, {:zen_nobody, node()} | pids]) do
        assert_receive {:DOWN, ^ref, :process, ^object, {:zen_monitor, _}}, 10_000
      end

      refute_receive {:DOWN, _, _, _, _}, 50
      assert standing() == 0
    end

    test "takes the options of monitor/2", %{peer: peer} do
      pids = on(peer, :targets, [100])
      tagged = ZenMonitor.monitor_all(pids, tag: :gone)
      bulk = ZenMonitor.monitor_all(pids, bulk: true)
      aliases = ZenMonitor.monitor_all(pids, alias: :explicit_unalias)
      plain = ZenMonitor.monitor_all(pids, bulk: false, tag: :DOWN)
      wait_until_watched(List.last(pids))
      send(hd(aliases), :to_alias)
      assert_receive :to_alias
      for ref <- aliases, do: :erlang.unalias(ref)
      Dispatcher.demand_amount(10_000)
      suspend_stage(Dispatcher)
      on(peer, :kill, [pids])
      wait_until(fn -> Local.batch_length() == 400 end)
      resume_stage(Dispatcher)
      for ref <- tagged, do: assert_receive({:gone, ^ref, :process, _, _}, 10_000)
      for ref <- aliases ++ plain, do: assert_receive({:DOWN, ^ref, :process, _, _}, 10_000)
      assert_receive {:DOWN, :bulk, entries}, 10_000
      assert entries |> Enum.map(&elem(&1, 0)) |> Enum.sort() == Enum.sort(bulk)
    end

    test "refuses what is no destination, with nothing monitored", %{peer: peer} do
      pid = on(peer, :target)

      for {list, message} <- [
            {[pid, 1], ~r/expected a pid/},
            {[pid | pid], ~r/proper list/},
            {pid, ~r/expected a list/}
          ],
          options <- [[], [bulk: true], [tag: 1]] do
        assert_raise ArgumentError, message, fn -> ZenMonitor.monitor_all(list, options) end
      end

      assert_raise ArgumentError, ~r/options/, fn -> ZenMonitor.monitor_all([pid], [:flush]) end
      assert standing() == 0 and ZenMonitor.monitor_all([]) == []
    end

    test "can be killed half-way", %{peer: peer} do
      pids = on(peer, :targets, [20_000])

      for delay <- [0, 1, 2, 4, 8] do
        {caller, monitor} = spawn_monitor(fn -> ZenMonitor.monitor_all(pids) end)
        Process.sleep(delay)
        Process.exit(caller, :kill)
        assert_receive {:DOWN, ^monitor, _, _, _}, 10_000
      end

      wait_until(fn -> Enum.sum(Keyword.values(Native.sizes())) == 0 end)
    end
  end

  describe "demonitor_all/2" do
    test "removes monitors of all kinds, and counts those that there were", %{peer: peer} do
      pids = on(peer, :targets, [200])

      refs =
        for options <- [[], [bulk: true], [tag: {:a, "tag"}], [alias: :explicit_unalias]],
            ref <- ZenMonitor.monitor_all(pids, options),
            do: ref

      # One slice has monitors of all kinds, some of them twice, and some references that are no monitors.
      theirs = Task.await(Task.async(fn -> ZenMonitor.monitor_all(pids) end))

      mixed =
        Enum.shuffle(
          refs ++
            Enum.take(refs, 100) ++
            theirs ++ [make_ref(), :erpc.call(peer.node, :erlang, :make_ref, [])]
        )

      assert ZenMonitor.demonitor_all(mixed) == 800
      assert ZenMonitor.demonitor_all(refs, [:flush]) == 0
      for ref <- refs, do: :erlang.unalias(ref)
      on(peer, :kill, [pids])
      refute_receive _, 50
      wait_until(fn -> standing() == 0 end)
    end

    test "leaves nothing of what monitors carried", %{peer: peer} do
      pids = on(peer, :targets, [90])

      for tag <- [{:gone, 1}, List.duplicate(:large, 100)] do
        refs = ZenMonitor.monitor_all(pids, tag: tag)
        assert Native.sizes()[:options] == 90
        assert ZenMonitor.demonitor_all(refs) == 90
        assert Native.sizes()[:options] == 0
      end
    end

    test "flushes what was sent, and nothing else", %{peer: peer} do
      pids = on(peer, :targets, [90])
      plain = ZenMonitor.monitor_all(pids)
      bulk = ZenMonitor.monitor_all(pids, bulk: true)
      tagged = ZenMonitor.monitor_all(pids, tag: :gone)
      wait_until_watched(List.last(pids))
      on(peer, :kill, [Enum.take(pids, 60)])
      wait_until(fn -> standing() == 90 end)
      [kept | flushed] = plain
      send(self(), :other)
      assert ZenMonitor.demonitor_all(flushed ++ tl(tagged) ++ tl(bulk), [:flush]) == 90
      {:messages, messages} = Process.info(self(), :messages)
      [first_tagged, first_bulk] = [hd(tagged), hd(bulk)]

      assert Enum.count(messages) == 4
      assert Enum.any?(messages, &match?({:DOWN, ^kept, _, _, _}, &1))
      assert Enum.any?(messages, &match?({:gone, ^first_tagged, _, _, _}, &1))
      assert Enum.any?(messages, &match?({:DOWN, :bulk, [{^first_bulk, _, _}]}, &1))
      assert :other in messages
      assert standing() == 0
    end

    test "refuses what is no reference, with nothing removed" do
      ref = ZenMonitor.monitor(self())

      for list <- [[ref, 1], [ref | ref], ref] do
        assert_raise ArgumentError, ~r/references/, fn -> ZenMonitor.demonitor_all(list) end
      end

      for options <- [[:info], [flush: true], :flush] do
        assert_raise ArgumentError, ~r/options/, fn ->
          ZenMonitor.demonitor_all([ref], options)
        end
      end

      assert standing() == 1
    end
  end
end
