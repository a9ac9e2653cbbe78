defmodule ZenMonitor.SetTest do
  use ZenMonitor.Case

  alias ZenMonitor.{Local, Local.Dispatcher, Set}

  setup_all do
    %{peer: start_connected_peer()}
  end

  # A set must leave nothing when it is gone.
  defp assert_nothing_left do
    wait_until(fn -> Enum.sum(Keyword.values(Native.sizes())) == 0 end)
  end

  defp set_of(pids, options \\ []) do
    set = Set.new(options)
    assert Set.put(set, pids) == length(pids)
    wait_until_watched(pids)
    set
  end

  describe "a set" do
    test "tells who died, under its own reference", %{peer: peer} do
      pids = on(peer, :targets, [100])
      %Set{ref: ref} = set = set_of(pids)
      assert Set.size(set) == 100 and standing() == 100
      {dead, alive} = Enum.split(pids, 40)
      for pid <- dead, do: send(pid, {:exit, :done})

      for pid <- dead do
        assert_receive {:DOWN, ^ref, :process, ^pid, {:zen_monitor, :done}}, 10_000
        refute Set.member?(set, pid)
      end

      assert Set.size(set) == 60 and Set.to_list(set) == alive
      assert Enum.all?(alive, &Set.member?(set, &1))
      on(peer, :kill, [alive])
      for pid <- alive, do: assert_receive({:DOWN, ^ref, _, ^pid, _}, 10_000)
      refute_receive {:DOWN, _, _, _, _}, 50
      assert :ok = Set.close(set)
      assert_nothing_left()
    end

    test "has a destination once, whatever it is", %{peer: peer} do
      set = Set.new()
      on(peer, :named_target, [:zen_in_set])
      name = {:zen_in_set, peer.node}
      [here, there] = [PeerScript.target(), on(peer, :target)]
      Process.register(here, :zen_set_here)
      all = [there, name, here, :zen_set_here, {:zen_set_here, node()}, there]
      assert Set.put(set, all) == 4
      assert Set.put(set, all) == 0 and Set.put(set, name) == 0 and Set.put(set, []) == 0
      objects = [there, name, here, {:zen_set_here, node()}]
      assert Set.to_list(set) == objects
      assert Enum.all?(all, &Set.member?(set, &1))
      refute Set.member?(set, :zen_in_set) or Set.member?(set, {:zen_set_here, peer.node})
      wait_until(fn -> on(peer, :named_watched?, [:zen_in_set]) and watched?(here) end)
      wait_until_watched(there)
      on(peer, :kill_named, [:zen_in_set])
      kill(here)
      kill_remote(peer, there)
      ref = set.ref

      for object <- objects do
        assert_receive {:DOWN, ^ref, :process, ^object, {:zen_monitor, :killed}}, 10_000
      end

      assert Set.size(set) == 0 and Set.to_list(set) == []
    end

    test "keeps names apart by their node, and pids by theirs", %{peer: peer} do
      other = start_connected_peer()
      set = Set.new()
      names = for node <- [node(), peer.node, other.node], do: {:zen_nobody, node}
      assert Set.put(set, names) == 3
      assert Set.delete(set, {:zen_nobody, other.node}) == 1
      ref = set.ref

      for name <- List.delete_at(names, 2) do
        assert_receive {:DOWN, ^ref, :process, ^name, {:zen_monitor, :noproc}}, 10_000
      end

      pids = for peer <- [peer, other, peer, other], do: on(peer, :target)
      assert Set.put(set, pids) == 4 and Set.to_list(set) == pids
      assert Set.delete(set, pids) == 4
      refute_receive {:DOWN, _, _, _, _}, 50
      Cluster.stop(other)
    end

    test "takes who died and is put again as a new member", %{peer: peer} do
      pid = on(peer, :target)
      %{ref: ref} = set = set_of([pid])
      kill_remote(peer, pid)
      assert_receive {:DOWN, ^ref, :process, ^pid, {:zen_monitor, :killed}}, 10_000
      assert Set.put(set, pid) == 1
      assert_receive {:DOWN, ^ref, :process, ^pid, {:zen_monitor, :noproc}}, 10_000
      assert Set.size(set) == 0
    end

    test "does not count who is due, and put again", %{peer: peer} do
      pid = on(peer, :target)
      %{ref: ref} = set = set_of([pid])

      while_suspended(1, fn ->
        kill_remote(peer, pid)
        wait_until(fn -> Local.batch_length() == 1 end)
        assert Set.put(set, pid) == 0 and Set.member?(set, pid) and Set.size(set) == 1
      end)

      assert_receive {:DOWN, ^ref, :process, ^pid, {:zen_monitor, :killed}}, 10_000
      refute_receive {:DOWN, _, _, _, _}, 50
    end

    test "knows nothing of monitors and other sets of the same process", %{peer: peer} do
      pid = on(peer, :target)
      [one, other, third] = for _ <- 1..3, do: set_of([pid])
      ref = ZenMonitor.monitor(pid)
      bulk = ZenMonitor.monitor(pid, bulk: true)
      assert Set.delete(third, pid) == 1
      assert ZenMonitor.demonitor(one.ref, [:info]) == false
      assert Local.Connector.monitors(pid, self()) |> Enum.sort() == Enum.sort([ref, bulk])
      kill_remote(peer, pid)

      for ref <- [ref, one.ref, other.ref] do
        assert_receive {:DOWN, ^ref, :process, ^pid, {:zen_monitor, :killed}}, 10_000
      end

      assert_receive {:DOWN, :bulk, [{^bulk, ^pid, {:zen_monitor, :killed}}]}, 10_000
      refute_receive {:DOWN, _, _, _, _}, 50
    end

    test "is told of a node's death", %{peer: _} do
      peer = start_connected_peer()
      pids = on(peer, :targets, [500])
      %{ref: ref} = set = set_of(pids)
      Cluster.disconnect(peer)

      fired =
        for _ <- pids do
          assert_receive {:DOWN, ^ref, :process, pid, {:zen_monitor, :nodedown}}, 10_000
          pid
        end

      assert Enum.sort(fired) == Enum.sort(pids) and Set.size(set) == 0
    end

    test "takes long lists, and can be killed half-way", %{peer: peer} do
      pids = on(peer, :targets, [20_000])
      set = set_of(pids)
      assert Set.put(set, pids) == 0 and Set.size(set) == 20_000
      assert Set.to_list(set) == pids
      assert Set.delete(set, Enum.take(pids, 15_000)) == 15_000
      assert Set.to_list(set) == Enum.drop(pids, 15_000)
      assert :ok = Set.close(set)
      assert standing() == 0

      for delay <- [0, 1, 2, 4, 8] do
        {owner, monitor} = spawn_monitor(fn -> Set.put(Set.new(), pids) end)
        Process.sleep(delay)
        Process.exit(owner, :kill)
        assert_receive {:DOWN, ^monitor, _, _, _}, 10_000
      end

      assert_nothing_left()
      wait_until(fn -> not Enum.any?(Enum.take(pids, 100), &watched?/1) end)
    end

    test "ends with its owner, as all the others of it", %{peer: peer} do
      [pid | _] = pids = on(peer, :targets, [300])
      test = self()

      owner =
        spawn(fn ->
          sets = for _ <- 1..200, do: Set.new()
          for set <- sets, do: Set.put(set, pids)
          send(test, {:sets, sets})
          Process.sleep(:infinity)
        end)

      assert_receive {:sets, sets}, 10_000
      wait_until_watched(pid)
      assert Set.size(hd(sets)) == 300 and Set.member?(hd(sets), pid)
      assert Set.to_list(hd(sets)) == pids
      kill(owner)
      assert_nothing_left()
      assert Enum.all?(sets, &(Set.size(&1) == 0 and Set.to_list(&1) == []))
      refute Set.member?(hd(sets), pid)
      assert inspect(hd(sets)) =~ "closed"
      wait_until(fn -> not watched?(pid) end)
    end

    test "is changed by its owner only", %{peer: peer} do
      [pid, other] = on(peer, :targets, [2])
      set = set_of([pid])
      whose = ~r/belongs to #{Regex.escape(inspect(self()))}/

      changes = [
        fn -> Set.put(set, other) end,
        fn -> Set.delete(set, pid) end,
        fn -> Set.close(set) end,
        # A forged owner does not help.
        fn -> Set.put(%{set | owner: self()}, other) end,
        fn -> Set.delete(%{set | owner: self()}, pid) end,
        fn -> Set.close(%{set | owner: self()}) end
      ]

      in_task = fn fun -> Task.await(Task.async(fun)) end

      for change <- changes do
        in_task.(fn -> assert_raise ArgumentError, whose, change end)
      end

      assert in_task.(fn -> {Set.size(set), Set.to_list(set), Set.member?(set, pid)} end) ==
               {1, [pid], true}

      for look <- [&Set.size/1, &Set.to_list/1, &Set.member?(&1, pid)] do
        there = %{set | owner: on(peer, :target)}
        assert_raise ArgumentError, ~r/is of the node #{peer.node}/, fn -> look.(there) end
      end
    end

    test "refuses what is no destination, with nothing put", %{peer: peer} do
      pid = on(peer, :target)
      set = Set.new()

      for wrong <- [1, {pid, :a}, {:a, :b, :c}, "name", make_ref()] do
        for list <- [[pid, wrong], [wrong]] do
          assert_raise ArgumentError, ~r/expected a pid/, fn -> Set.put(set, list) end
          assert_raise ArgumentError, ~r/expected a pid/, fn -> Set.delete(set, list) end
        end

        assert_raise ArgumentError, ~r/expected a pid/, fn -> Set.member?(set, wrong) end
      end

      assert_raise ArgumentError, ~r/proper list/, fn -> Set.put(set, [pid | pid]) end
      assert Set.size(set) == 0

      for options <- [[tag: 1, bluk: true], [bulk: 1], :bulk, [{:tag, 1} | :tag]] do
        assert_raise ArgumentError, ~r/options of a set/, fn -> Set.new(options) end
      end

      for options <- [[:flush], [flush: 1], [info: true]] do
        assert_raise ArgumentError, ~r/flush: boolean/, fn -> Set.delete(set, pid, options) end
        assert_raise ArgumentError, ~r/flush: boolean/, fn -> Set.close(set, options) end
      end
    end

    test "shows its reference and its size, and never its members", %{peer: peer} do
      pids = on(peer, :targets, [50])
      set = set_of(pids)
      assert inspect(set) == "#ZenMonitor.Set<#{inspect(set.ref)}, size: 50>"
      Set.close(set)
      assert inspect(set) == "#ZenMonitor.Set<#{inspect(set.ref)}, closed>"
      there = %{set | owner: hd(pids)}
      assert inspect(there) == "#ZenMonitor.Set<#{inspect(set.ref)}, on #{peer.node}>"
    end
  end

  describe "what is deleted" do
    test "sends nothing, and is counted if it was a member", %{peer: peer} do
      [one, two, three] = pids = on(peer, :targets, [3])
      %{ref: ref} = set = set_of(pids)
      assert Set.delete(set, [one, one, self(), {:zen, :unknown@nowhere}, :zen]) == 1
      assert Set.delete(set, one) == 0 and Set.delete(set, two) == 1
      assert Set.to_list(set) == [three] and standing() == 1
      wait_until(fn -> not watched?(one) and not watched?(two) end)
      on(peer, :kill, [pids])
      assert_receive {:DOWN, ^ref, :process, ^three, {:zen_monitor, :killed}}, 10_000
      refute_receive {:DOWN, _, _, _, _}, 50
      assert Set.delete(set, pids) == 0
    end

    test "and was due sends nothing", %{peer: peer} do
      pids = on(peer, :targets, [200])
      {deleted, kept} = Enum.split(pids, 100)
      set = set_of(pids)

      suspend_stage(Dispatcher)
      on(peer, :kill, [pids])
      wait_until(fn -> Local.batch_length() == 200 end)
      assert Set.delete(set, deleted) == 100 and Local.batch_length() == 100
      resume_stage(Dispatcher)
      assert Enum.sort(objects(set, 100)) == Enum.sort(kept)
      refute_receive {:DOWN, _, _, _, _}, 50
      Set.close(set)
      assert_nothing_left()
    end

    test "is flushed from the mailbox, in which all else keeps its place", %{peer: peer} do
      pids = on(peer, :targets, [6])
      [one, two | _] = pids
      %{ref: ref} = set = set_of(pids, tag: :gone)
      monitor = watch(one)

      for {pid, number} <- Enum.with_index(pids) do
        kill_remote(peer, pid)
        # Who is no member any more may have its message still on its way.
        wait_until(fn -> Enum.any?(messages(), &match?({:gone, _, _, ^pid, _}, &1)) end)
        send(self(), {:other, number})
      end

      assert Set.delete(set, two, flush: false) == 0
      assert Set.delete(set, two, flush: true) == 0
      assert Set.delete(set, [one, Enum.at(pids, 4), :zen_none], flush: true) == 0

      # The process is dead, so the new member may fire at once. The message of its former membership is flushed as well.
      assert Set.put(set, one) == 1
      assert Set.delete(set, one, flush: true) in [0, 1]

      others = for message <- messages(), elem(message, 0) != :DOWN, do: message

      expected =
        for {pid, number} <- Enum.with_index(pids),
            message <- [{:gone, ref, :process, pid, {:zen_monitor, :killed}}, {:other, number}],
            number not in [0, 1, 4] or elem(message, 0) == :other,
            do: message

      assert others == expected
      assert_receive {:DOWN, ^monitor, :process, ^one, _}
    end

    test "is closed over, and flushed with it", %{peer: peer} do
      pids = on(peer, :targets, [1_000])
      %{ref: ref} = set = set_of(pids)
      {due, alive} = Enum.split(pids, 500)
      kill_remote(peer, hd(due))
      wait_until(fn -> Set.size(set) == 999 end)
      suspend_stage(Dispatcher)
      on(peer, :kill, [tl(due)])
      wait_until(fn -> Local.batch_length() == 499 end)
      assert :ok = Set.close(set, flush: true)
      assert {Local.batch_length(), standing()} == {0, 0}
      resume_stage(Dispatcher)
      on(peer, :kill, [alive])
      refute_receive {:DOWN, ^ref, _, _, _}, 50
      assert :ok = Set.close(set)
      assert Set.delete(set, pids) == 0 and Set.size(set) == 0
      assert_raise ArgumentError, ~r/is closed/, fn -> Set.put(set, pids) end
      assert_nothing_left()
    end
  end

  describe "a tag" do
    test "begins the messages, however large", %{peer: peer} do
      for tag <- [:gone, {:gone, self(), make_ref()}, %{a: 1.5}, Enum.to_list(1..50_000)] do
        pid = on(peer, :target)
        %{ref: ref} = set_of([pid], tag: tag)
        kill_remote(peer, pid)
        assert_receive {^tag, ^ref, :process, ^pid, {:zen_monitor, :killed}}, 10_000
      end
    end
  end

  describe "in bulk" do
    test "one message has all that is due, for each set", %{peer: peer} do
      pids = on(peer, :targets, [900])
      {ours, theirs} = Enum.split(pids, 500)
      %{ref: our_ref} = set_of(ours, bulk: true)
      %{ref: their_ref} = set_of(theirs, bulk: true, tag: {:their, "tag"})
      Dispatcher.demand_amount(10_000)
      kill_suspended(peer, pids, 900)
      assert_receive {:DOWN, ^our_ref, :bulk, our_entries}, 10_000
      assert_receive {{:their, "tag"}, ^their_ref, :bulk, their_entries}, 10_000

      for {entries, pids} <- [{our_entries, ours}, {their_entries, theirs}] do
        assert Enum.sort(entries) ==
                 Enum.sort(for pid <- pids, do: {pid, {:zen_monitor, :killed}})
      end
    end

    test "what is deleted is in no message that is sent later", %{peer: peer} do
      pids = on(peer, :targets, [300])
      %{ref: ref} = set = set_of(pids, bulk: true)
      Dispatcher.demand_amount(10_000)
      suspend_stage(Dispatcher)
      on(peer, :kill, [pids])
      wait_until(fn -> Local.batch_length() == 300 end)
      {deleted, kept} = Enum.split(pids, 100)
      assert Set.delete(set, deleted) == 100
      resume_stage(Dispatcher)
      assert_receive {:DOWN, ^ref, :bulk, entries}, 10_000
      assert Enum.sort(for {pid, _} <- entries, do: pid) == Enum.sort(kept)
      assert Set.size(set) == 0
      refute_receive {_, _, :bulk, _}, 50
    end

    test "entries are flushed, and only what has to moves", %{peer: peer} do
      [a, b, c, d, e] = on(peer, :targets, [5])
      %{ref: ref} = set = set_of([a, b, c, d, e], bulk: true)

      bulks = fn ->
        for {:DOWN, ^ref, :bulk, list} <- messages(), do: for({pid, _} <- list, do: pid)
      end

      for pids <- [[a], [b, c], [d], [e]] do
        kill_suspended(peer, pids, length(pids))
        wait_until(fn -> hd(pids) in List.flatten(bulks.()) end)
        send(self(), {:behind, pids})
      end

      before = messages()
      assert Set.delete(set, [self(), :zen_none], flush: true) == 0
      assert messages() == before

      assert Set.delete(set, [d], flush: true) == 0
      # The later messages have to move, too.
      assert bulks.() |> List.flatten() |> Enum.sort() == Enum.sort([a, b, c, e])
      assert Set.delete(set, [c, self()], flush: true) == 0
      assert bulks.() == [[a], [b], [e]]
      assert List.first(messages()) == hd(before)
      assert for({:behind, pids} <- messages(), do: pids) == [[a], [b, c], [d], [e]]
      assert Set.close(set, flush: true) == :ok
      assert bulks.() == []
    end
  end

  defp kill_suspended(peer, pids, due) do
    suspend_stage(Dispatcher)
    on(peer, :kill, [pids])
    wait_until(fn -> Local.batch_length() == due end)
    resume_stage(Dispatcher)
  end

  defp kill_remote(peer, pid), do: on(peer, :kill, [[pid]])

  defp objects(_set, 0), do: []

  defp objects(%{ref: ref} = set, left) do
    assert_receive {:DOWN, ^ref, :process, object, {:zen_monitor, _}}, 10_000
    [object | objects(set, left - 1)]
  end

  defp messages do
    {:messages, messages} = Process.info(self(), :messages)
    messages
  end
end
