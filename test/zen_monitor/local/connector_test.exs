defmodule ZenMonitor.Local.ConnectorTest do
  use ZenMonitor.Case

  import Bitwise

  alias ZenMonitor.GenModuleSpy
  alias ZenMonitor.Local.Connector

  @nobody :zen_monitor_nobody@nowhere

  defmodule Strange do
    @moduledoc false
    def call(_destination, :ping, _timeout), do: :pang
    def cast(destination, message), do: GenServer.cast(destination, message)
  end

  setup_all do
    %{peer: start_connected_peer()}
  end

  describe "get/1 and get_for_node/1" do
    test "return the one Connector of a node", %{peer: peer} do
      connector = Connector.get(on(peer, :target))
      assert Process.alive?(connector)
      assert Connector.get({:name, peer.node}) == connector
      assert Connector.get_for_node(peer.node) == connector
      refute Connector.get_for_node(@nobody) == connector
    end

    test "return that of this node for what is local" do
      connector = Connector.get(self())
      assert Connector.get(:name) == connector
      assert Connector.get({:name, node()}) == connector
      assert Connector.get_for_node(node()) == connector
    end

    test "start no more than one, however many ask at once", %{peer: peer} do
      tasks = for _ <- 1..100, do: Task.async(fn -> Connector.get_for_node(peer.node) end)
      assert [_] = tasks |> Task.await_many() |> Enum.uniq()
    end

    test "raise for what is no destination" do
      assert_raise ArgumentError, ~r/got: "name"/, fn -> Connector.get("name") end
    end
  end

  describe "monitor/3" do
    # Since OTP 27 an alias has more than three numbers, and `monitor/3` keeps three.
    test "delivers the very reference, or refuses an alias that has more to it" do
      alias = :erlang.alias()
      pid = PeerScript.target()

      if words(alias) == words(make_ref()) do
        Connector.monitor(pid, alias, self())
        wait_until_watched(pid)
        Process.exit(pid, :kill)
        assert_receive {:DOWN, ^alias, :process, ^pid, {:zen_monitor, :killed}}, 10_000
      else
        assert_raise ArgumentError, ~r/got an alias/, fn ->
          Connector.monitor(pid, alias, self())
        end
      end

      wait_until(fn -> standing() == 0 end)
    end

    # How many numbers a reference consists of.
    defp words(reference) do
      <<131, 90, words::16, _::binary>> = :erlang.term_to_binary(reference)
      words
    end

    test "places a monitor under a given reference", %{peer: peer} do
      [pid, ref] = [on(peer, :target), make_ref()]
      assert Connector.monitor(pid, ref, self()) == :ok
      Process.exit(pid, :kill)
      assert {^pid, reason} = down(ref)
      assert reason in [:killed, :noproc]
    end

    test "places it for a given process", %{peer: peer} do
      [pid, ref, watcher] = [on(peer, :target), make_ref(), PeerScript.watcher()]
      Connector.monitor(pid, ref, watcher)
      wait_until_watched(pid)
      Process.exit(pid, :kill)
      expected = [{:DOWN, ref, :process, pid, {:zen_monitor, :killed}}]
      wait_until(fn -> PeerScript.received(watcher) == expected end)
    end
  end

  describe "monitors/2" do
    test "lists the references of one subscriber and one destination", %{peer: peer} do
      [pid, other] = on(peer, :targets, [2])
      on(peer, :named_target, [:zen_listed])
      refs = for _ <- 1..3, do: ZenMonitor.monitor(pid)
      by_name = ZenMonitor.monitor({:zen_listed, peer.node})
      ZenMonitor.monitor(other)
      watcher = PeerScript.watcher()
      theirs = PeerScript.place(watcher, pid)

      assert Enum.sort(Connector.monitors(pid, self())) == Enum.sort(refs)
      assert Connector.monitors(pid, watcher) == [theirs]
      assert Connector.monitors({:zen_listed, peer.node}, self()) == [by_name]
      assert Connector.monitors({:zen_listed, node()}, self()) == []
      assert Connector.monitors(other, watcher) == []

      ZenMonitor.demonitor(hd(refs))
      assert Enum.sort(Connector.monitors(pid, self())) == Enum.sort(tl(refs))
    end

    test "lists local ones" do
      pid = PeerScript.named_target(:zen_listed)
      [by_pid, by_name] = [ZenMonitor.monitor(pid), ZenMonitor.monitor(:zen_listed)]
      assert Connector.monitors(pid, self()) == [by_pid]
      assert Connector.monitors(:zen_listed, self()) == [by_name]
      assert Connector.monitors({:zen_listed, node()}, self()) == [by_name]
    end
  end

  test "demonitor/2 removes a monitor of the caller", %{peer: peer} do
    pid = on(peer, :target)
    [kept, removed] = [ZenMonitor.monitor(pid), ZenMonitor.monitor(pid)]
    assert Connector.demonitor(pid, removed) == :ok
    assert Connector.monitors(pid, self()) == [kept]
    Process.exit(pid, :kill)
    downs([kept])
  end

  describe "the cache of compatibility" do
    test "has nothing of a node that was never asked" do
      assert known(@nobody) == {:miss, :incompatible}
      assert Native.compatibility(@nobody) == :miss
    end

    test "has :compatible for a node that runs ZenMonitor", %{peer: peer} do
      assert Connector.connect(peer.node) == :compatible
      assert known(peer.node) == {:compatible, :compatible}
    end

    test "has it too when a monitor was the reason to ask", %{peer: peer} do
      ZenMonitor.monitor(on(peer, :target))
      wait_until(fn -> known(peer.node) == {:compatible, :compatible} end)
    end

    test "has :unavailable for a node that is not connected, which is not asked" do
      GenModuleSpy.watch()
      peer = Cluster.start_peer()
      assert Connector.connect(peer.node) == :incompatible
      assert known(peer.node) == {:unavailable, :incompatible}
      refute_received {:spy_call, _, _}
      refute peer.node in Node.list(:connected)

      Cluster.connect(peer)
      assert Connector.connect(peer.node) == :compatible
    end

    test "has :incompatible for a node that does not answer, for 2 s at first" do
      GenModuleSpy.watch()
      peer = start_connected_peer(application: false)
      earliest = ZenMonitor.now() + 2_000
      assert Connector.connect(peer.node) == :incompatible
      assert {:incompatible, until, 1} = Native.compatibility(peer.node)
      assert until in earliest..(ZenMonitor.now() + 2_000)
      assert known(peer.node) == {:incompatible, :incompatible}

      # The node is not asked again until then.
      assert_received {:spy_call, _, :ping}
      assert Connector.connect(peer.node) == :incompatible
      refute_received {:spy_call, _, :ping}

      wait_until(fn -> known(peer.node) != {:incompatible, :incompatible} end)
      assert known(peer.node) == {{:expired, 1}, :incompatible}
      assert ZenMonitor.now() >= until

      assert Connector.connect(peer.node) == :incompatible
      assert_received {:spy_call, _, :ping}
      assert {:incompatible, _, 2} = Native.compatibility(peer.node)

      {:ok, _} = on(peer, :start_application)
      Native.set_compatibility(peer.node, :incompatible, ZenMonitor.now(), 2)
      assert Connector.connect(peer.node) == :compatible
    end

    test "has a penalty that doubles, up to a minute", %{peer: peer} do
      ZenMonitor.gen_module(Strange)

      for attempt <- [2, 3, 4, 5, 6, 7, 20, 50] do
        Native.set_compatibility(peer.node, :incompatible, ZenMonitor.now(), attempt - 1)
        assert Connector.cached_compatibility(peer.node) == {:expired, attempt - 1}
        penalty = min(60_000, 1_000 * (1 <<< attempt))
        earliest = ZenMonitor.now() + penalty
        assert Connector.connect(peer.node) == :incompatible
        assert {:incompatible, until, ^attempt} = Native.compatibility(peer.node)
        assert until in earliest..(ZenMonitor.now() + penalty)
      end
    end

    test "has :incompatible for a node that answers anything but :pong", %{peer: peer} do
      ZenMonitor.gen_module(Strange)
      assert Connector.connect(peer.node) == :incompatible
      assert known(peer.node) == {:incompatible, :incompatible}
    end

    test "has :unavailable after the connection was lost" do
      peer = start_connected_peer()
      Connector.connect(peer.node)
      Cluster.disconnect(peer)
      wait_until(fn -> known(peer.node) == {:unavailable, :incompatible} end)
    end

    test "has :incompatible after only the remote Proxy died", %{peer: peer} do
      Connector.connect(peer.node)
      earliest = ZenMonitor.now() + 2_000
      on(peer, :kill_name, [ZenMonitor.Proxy])
      wait_until(fn -> known(peer.node) == {:incompatible, :incompatible} end)
      assert {:incompatible, until, 1} = Native.compatibility(peer.node)
      assert until >= earliest
    end

    test "is read while the Connector is busy", %{peer: peer} do
      Connector.connect(peer.node)
      connector = Connector.get_for_node(peer.node)
      :sys.suspend(connector)
      assert known(peer.node) == {:compatible, :compatible}
      assert Connector.connect(peer.node) == :compatible
      assert ZenMonitor.compatibility({:any, peer.node}) == :compatible
      Native.set_compatibility(peer.node, :incompatible, ZenMonitor.now() + 60_000, 1)
      assert known(peer.node) == {:incompatible, :incompatible}
      assert Connector.connect(peer.node) == :incompatible
      Native.set_compatibility(peer.node, :incompatible, ZenMonitor.now(), 3)
      assert known(peer.node) == {{:expired, 3}, :incompatible}
      Native.set_compatibility(peer.node, :unavailable, 0, 0)
      assert known(peer.node) == {:unavailable, :incompatible}
      :sys.resume(connector)
    end

    test "makes connect/1 by 100 callers cost one ping", %{peer: peer} do
      GenModuleSpy.watch()
      on(peer, :suspend, [ZenMonitor.Proxy])
      connector = Connector.get_for_node(peer.node)
      tasks = for _ <- 1..100, do: Task.async(fn -> Connector.connect(peer.node) end)
      wait_until(fn -> length(:sys.get_state(connector).callers) == 100 end)
      on(peer, :resume, [ZenMonitor.Proxy])
      assert tasks |> Task.await_many() |> Enum.uniq() == [:compatible]
      proxy = {ZenMonitor.Proxy, peer.node}
      assert_received {:spy_call, ^proxy, :ping}
      refute_received {:spy_call, _, _}
    end

    defp known(node) do
      {Connector.cached_compatibility(node), Connector.compatibility(node)}
    end
  end

  describe "instructions" do
    setup %{peer: peer} do
      GenModuleSpy.watch()
      Connector.connect(peer.node)
      assert_received {:spy_call, _, :ping}
      %{connector: Connector.get_for_node(peer.node)}
    end

    test "go out in order, in full chunks, each once", %{peer: peer, connector: connector} do
      Connector.chunk_size(5)
      Connector.sweep_interval(20)
      pids = on(peer, :targets, [23])
      :sys.suspend(connector)
      for pid <- pids, do: ZenMonitor.monitor(pid)
      :sys.resume(connector)
      chunks = chunks(peer, connector, 23)
      assert Enum.map(chunks, &length/1) == [5, 5, 5, 5, 3]
      assert Enum.concat(chunks) == for(pid <- pids, do: {:subscribe, pid})
      assert_nothing_more(peer)
    end

    test "go out in full chunks of more than a thousand", %{peer: peer, connector: connector} do
      Connector.chunk_size(2_500)
      Connector.sweep_interval(20)
      pids = on(peer, :targets, [6_000])
      :sys.suspend(connector)
      for pid <- pids, do: ZenMonitor.monitor(pid)
      :sys.resume(connector)
      chunks = chunks(peer, connector, 6_000)
      assert Enum.map(chunks, &length/1) == [2_500, 2_500, 1_000]
      assert Enum.concat(chunks) == for(pid <- pids, do: {:subscribe, pid})
    end

    test "keep the interval between two chunks", %{peer: peer, connector: connector} do
      Connector.chunk_size(2)
      Connector.sweep_interval(300)
      :sys.suspend(connector)
      for pid <- on(peer, :targets, [8]), do: ZenMonitor.monitor(pid)
      # The time of sending, since this process may receive late.
      :erlang.trace(connector, true, [:send, :monotonic_timestamp])
      :sys.resume(connector)

      times =
        for _ <- 1..4 do
          assert_receive {:trace_ts, _, :send, {:spy_cast, _, {_, _, [_, _]}}, _, time}, 10_000
          System.convert_time_unit(time, :native, :millisecond)
        end

      for {time, next} <- Enum.zip(times, tl(times)), do: assert(next - time >= 299)
    end

    test "follow a change of the settings by the next sweep", %{peer: peer, connector: connector} do
      Connector.chunk_size(2)
      # The interval is so long that each change is made before the next sweep.
      Connector.sweep_interval(1_000)
      :sys.suspend(connector)
      for pid <- on(peer, :targets, [9]), do: ZenMonitor.monitor(pid)
      :sys.resume(connector)
      assert_receive {:spy_cast, _, {:process, ^connector, [_, _]}}, 10_000
      Connector.chunk_size(4)
      assert_receive {:spy_cast, _, {:process, ^connector, [_, _, _, _]}}, 10_000
      Connector.chunk_size(1)
      Connector.sweep_interval(1)
      for _ <- 1..3, do: assert_receive({:spy_cast, _, {:process, ^connector, [_]}}, 10_000)
      assert_nothing_more(peer)
    end

    test "are one for a target, however many monitor it", %{peer: peer, connector: connector} do
      pid = on(peer, :target)
      refs = for _ <- 1..1_000, do: ZenMonitor.monitor(pid)
      assert chunks(peer, connector, 1) == [[{:subscribe, pid}]]
      more = for _ <- 1..1_000, do: ZenMonitor.monitor(pid)
      for ref <- tl(refs) ++ more, do: ZenMonitor.demonitor(ref)
      assert_nothing_more(peer)
      ZenMonitor.demonitor(hd(refs))
      assert chunks(peer, connector, 1) == [[{:unsubscribe, pid}]]
      wait_until(fn -> not watched?(pid) end)
      assert_nothing_more(peer)
    end

    test "cancel out while they wait", %{peer: peer, connector: connector} do
      [pid, other] = on(peer, :targets, [2])
      :sys.suspend(connector)
      ref = ZenMonitor.monitor(pid)
      ZenMonitor.demonitor(ref)
      ZenMonitor.monitor(other)
      :sys.resume(connector)
      assert chunks(peer, connector, 1) == [[{:subscribe, other}]]
      assert_nothing_more(peer)
    end

    test "cancel out the other way round too", %{peer: peer, connector: connector} do
      pid = on(peer, :target)
      ref = ZenMonitor.monitor(pid)
      assert chunks(peer, connector, 1) == [[{:subscribe, pid}]]
      :sys.suspend(connector)
      ZenMonitor.demonitor(ref)
      again = ZenMonitor.monitor(pid)
      :sys.resume(connector)
      assert_nothing_more(peer)
      Process.exit(pid, :kill)
      assert downs([again]) == %{again => :killed}
    end

    test "that cancel out do not make chunks smaller", %{peer: peer, connector: connector} do
      Connector.chunk_size(4)
      {gone, staying} = Enum.split(on(peer, :targets, [50]), 40)
      :sys.suspend(connector)
      refs = for pid <- gone, do: ZenMonitor.monitor(pid)
      for pid <- staying, do: ZenMonitor.monitor(pid)
      for ref <- refs, do: ZenMonitor.demonitor(ref)
      :sys.resume(connector)
      chunks = chunks(peer, connector, 10)
      assert Enum.map(chunks, &length/1) == [4, 4, 2]
      assert Enum.concat(chunks) == for(pid <- staying, do: {:subscribe, pid})
    end

    test "address a name as {name, node}", %{peer: peer, connector: connector} do
      on(peer, :named_target, [:zen_addressed])
      ref = ZenMonitor.monitor({:zen_addressed, peer.node})
      assert chunks(peer, connector, 1) == [[{:subscribe, {:zen_addressed, peer.node}}]]
      ZenMonitor.demonitor(ref)
      assert chunks(peer, connector, 1) == [[{:unsubscribe, {:zen_addressed, peer.node}}]]
    end

    test "are sent again by nobody after their target died", %{peer: peer, connector: connector} do
      pid = on(peer, :target)
      refs = for _ <- 1..10, do: ZenMonitor.monitor(pid)
      chunks(peer, connector, 1)
      Process.exit(pid, :kill)
      downs(refs)
      for ref <- refs, do: ZenMonitor.demonitor(ref)
      assert_nothing_more(peer)
    end

    test "subscribe anew to what died before", %{peer: peer, connector: connector} do
      pid = on(peer, :dead_target)

      for _ <- 1..3 do
        ref = ZenMonitor.monitor(pid)
        assert chunks(peer, connector, 1) == [[{:subscribe, pid}]]
        assert down(ref) == {pid, :noproc}
      end
    end

    defp chunks(_peer, _connector, 0), do: []

    defp chunks(peer, connector, amount) do
      proxy = {ZenMonitor.Proxy, peer.node}
      assert_receive {:spy_cast, ^proxy, {:process, ^connector, chunk}}, 10_000
      [chunk | chunks(peer, connector, amount - length(chunk))]
    end

    # Two sweeps pass.
    defp assert_nothing_more(peer) do
      proxy = {ZenMonitor.Proxy, peer.node}
      Process.sleep(2 * Connector.sweep_interval() + 20)
      refute_received {:spy_cast, ^proxy, _}
    end
  end

  describe "a death certificate" do
    setup %{peer: peer} do
      pid = on(peer, :target)
      %{pid: pid, ref: watch(pid), connector: Connector.get(pid)}
    end

    test "sent as a plain message fires the monitor", context do
      %{peer: peer, pid: pid, ref: ref, connector: connector} = context
      send(connector, {:dead, peer.node, [{pid, {:from, "v2"}}]})
      assert down(ref) == {pid, {:from, "v2"}}
    end

    test "of a name may name it either way", %{peer: peer, connector: connector} do
      for certified <- [:zen_certified, {:zen_certified, peer.node}] do
        target = on(peer, :named_target, [:zen_certified])
        ref = ZenMonitor.monitor({:zen_certified, peer.node})
        wait_until_watched(target)
        send(connector, {:dead, peer.node, [{certified, :told}]})
        assert down(ref) == {{:zen_certified, peer.node}, :told}
        on(peer, :kill, [[target]])
        # The real certificate comes, too, and fires nothing any more.
        downs([])
      end
    end

    test "may come twice, and fires once", %{peer: peer, pid: pid, ref: ref, connector: connector} do
      certificate = {pid, :told}
      send(connector, {:dead, peer.node, [certificate, certificate]})
      send(connector, {:dead, peer.node, [certificate]})
      assert downs([ref]) == %{ref => :told}
    end

    test "that is malformed or of somebody else is ignored", context do
      %{peer: peer, pid: pid, ref: ref, connector: connector} = context
      local = PeerScript.target()
      local_ref = watch(local)

      for garbage <- [
            :garbage,
            nil,
            %{},
            "text",
            [:garbage],
            [{}],
            [{pid}],
            [{pid, :a, :b}],
            [{1, :a}, {"name", :a}, {[], :a}, {{pid, node()}, :a}, {make_ref(), :a}],
            [{pid, :a} |> Tuple.to_list()],
            [{on(peer, :dead_target), :unknown}, {:zen_unknown, :unknown}],
            [{local, :foreign}, {{:name, :foreign@node}, :foreign}],
            [1, 2, 3 | :improper],
            [{:zen_unknown, :a} | {pid, :a}]
          ] do
        send(connector, {:dead, peer.node, garbage})
      end

      send(connector, {:dead, peer.node})
      send(connector, :garbage)
      send(connector, {:nodedown, :other@node, []})
      send(connector, {:DOWN, make_ref(), :process, pid, :forged})
      :sys.get_state(connector)
      refute_received {:DOWN, _, _, _, _}
      assert Connector.get(pid) == connector

      # The well-formed certificate among the others counts.
      send(connector, {:dead, peer.node, [:garbage, {pid, :told}, {1, 2} | :improper]})
      Process.exit(local, :kill)
      assert downs([ref, local_ref]) == %{ref => :told, local_ref => :killed}
    end

    test "leaves the reason as the remote node sent it", context do
      %{peer: peer, pid: pid, ref: ref, connector: connector} = context
      reason = {:error, Enum.to_list(1..100), fn -> 1 end}
      send(connector, {:dead, peer.node, [{pid, reason}]})
      assert down(ref) == {pid, reason}
    end
  end

  describe "the Proxy of a node, addressed by hand," do
    test "answers :pong to :ping", %{peer: peer} do
      assert GenServer.call({ZenMonitor.Proxy, peer.node}, :ping) == :pong
    end

    test "sends a certificate for {:process, connector, instructions}", %{peer: peer} do
      [pid, kept] = on(peer, :targets, [2])
      dead = on(peer, :dead_target)
      named = {:zen_by_hand, peer.node}

      cast(peer, {:process, self(), [{:subscribe, kept}, {:unsubscribe, kept}]})
      cast(peer, {:process, self(), [{:subscribe, dead}, {:subscribe, named}, {:subscribe, pid}]})
      wait_until_watched(pid)
      refute watched?(kept)
      send(kept, {:exit, :kept})
      send(pid, {:exit, :done})
      expected = [{pid, :done}, {dead, :noproc}, {named, :noproc}]
      assert Enum.sort(certificates(peer, 3)) == Enum.sort(expected)
      refute_receive {:dead, _, _}, 250
    end

    test "sends one for the older {:subscribe, connector, destinations}", %{peer: peer} do
      pids = on(peer, :targets, [3])
      cast(peer, {:subscribe, self(), pids})
      wait_until_watched(pids)
      for pid <- pids, do: send(pid, {:exit, :done})
      assert Enum.sort(certificates(peer, 3)) == Enum.sort(for pid <- pids, do: {pid, :done})
    end

    defp cast(peer, message), do: GenServer.cast({ZenMonitor.Proxy, peer.node}, message)

    defp certificates(_peer, 0), do: []

    defp certificates(peer, amount) do
      node = peer.node
      assert_receive {:dead, ^node, certificates}, 10_000
      certificates ++ certificates(peer, amount - length(certificates))
    end
  end

  describe "monitors fire with :nodedown when" do
    test "the connection is cut" do
      peer = start_connected_peer()
      [pid | _] = pids = on(peer, :targets, [2_000])
      refs = watch_all(pids) ++ watch_name(peer, pid)
      Cluster.disconnect(peer)
      assert_all_nodedown(refs)
    end

    test "the node is gone" do
      peer = start_connected_peer()
      refs = watch_all(on(peer, :targets, [2_000]))
      Cluster.stop(peer)
      assert_all_nodedown(refs)
    end

    test "the node was never there" do
      refs = for _ <- 1..3, do: ZenMonitor.monitor({:name, @nobody})
      assert_all_nodedown(refs)
      refute @nobody in Node.list(:connected)
    end

    test "the node is not connected, and without connecting it" do
      peer = start_connected_peer()
      pid = on(peer, :target)
      Cluster.disconnect(peer)
      assert down(ZenMonitor.monitor(pid)) == {pid, :nodedown}
      assert down(ZenMonitor.monitor({:name, peer.node})) == {{:name, peer.node}, :nodedown}
      refute peer.node in Node.list(:connected)
    end

    test "the node does not run ZenMonitor" do
      peer = start_connected_peer(application: false)
      pid = on(peer, :target)
      assert down(ZenMonitor.monitor(pid)) == {pid, :nodedown}
      assert {:incompatible, _, 1} = Native.compatibility(peer.node)
      # While the node counts as incompatible it is not asked, and its monitors fire at once.
      refs = for _ <- 1..1_000, do: ZenMonitor.monitor(pid)
      assert_all_nodedown(refs)
      assert {:incompatible, _, 1} = Native.compatibility(peer.node)
    end

    test "the remote Proxy is killed", %{peer: peer} do
      refs = watch_all(on(peer, :targets, [2_000]))
      on(peer, :kill_name, [ZenMonitor.Proxy])
      assert_all_nodedown(refs)
    end

    test "ZenMonitor is stopped on the remote node" do
      peer = start_connected_peer()
      pid = on(peer, :target)
      refs = watch_all([pid])
      on(peer, :stop_application)
      assert_all_nodedown(refs)
      assert Connector.cached_compatibility(peer.node) == :incompatible
      assert_all_nodedown([ZenMonitor.monitor(pid)])

      on(peer, :start_application)
      Native.set_compatibility(peer.node, :incompatible, ZenMonitor.now(), 1)
      ref = watch(pid)
      Process.exit(pid, :kill)
      assert downs([ref]) == %{ref => :killed}
    end

    test "the connection is cut while they wait to be sent" do
      peer = start_connected_peer()
      Connector.connect(peer.node)
      connector = Connector.get_for_node(peer.node)
      Connector.chunk_size(10)
      pids = on(peer, :targets, [100])
      :sys.suspend(connector)
      refs = for pid <- pids, do: ZenMonitor.monitor(pid)
      Cluster.disconnect(peer)
      :sys.resume(connector)
      assert_all_nodedown(refs)
    end

    defp watch_name(peer, pid) do
      true = Cluster.call(peer, Process, :register, [pid, :zen_cut])
      [ZenMonitor.monitor({:zen_cut, peer.node})]
    end

    defp assert_all_nodedown(refs) do
      assert refs |> downs() |> Map.values() |> Enum.uniq() == [:nodedown]
      assert standing() == 0
    end
  end

  describe "a hidden node" do
    test "counts as connected" do
      peer = start_connected_peer(hidden: true)
      refute peer.node in Node.list()
      assert Connector.connect(peer.node) == :compatible
      [killed, cut] = on(peer, :targets, [2])
      [ref, cut_ref] = watch_all([killed, cut])
      Process.exit(killed, :kill)
      assert down(ref) == {killed, :killed}
      Cluster.disconnect(peer)
      assert down(cut_ref) == {cut, :nodedown}
      assert Connector.cached_compatibility(peer.node) == :unavailable
    end
  end

  describe "a connection that is cut and comes back" do
    # `global` would connect the nodes again by itself, at any moment.
    setup do
      peer = Cluster.start_peer()
      :ok = Cluster.call(peer, Application, :put_env, [:kernel, :dist_auto_connect, :never])
      # It would log that a connection was refused.
      :ok = Cluster.call(peer, :logger, :set_primary_config, [:level, :none])
      Application.put_env(:kernel, :dist_auto_connect, :never)
      on_exit(fn -> Application.delete_env(:kernel, :dist_auto_connect) end)
      Cluster.connect(peer)
      %{peer: peer}
    end

    test "loses no monitor, and fires none twice", %{peer: peer} do
      pids = on(peer, :targets, [200])
      {placer, stop} = place_all_the_time(pids)

      for round <- 1..15 do
        Process.sleep(rem(round, 4) * 10)
        Cluster.disconnect(peer)
        Process.sleep(rem(round, 3) * 10)
        Cluster.connect(peer)
      end

      refs = stop.()
      # At least some monitors were placed in each round, however busy the machine was.
      assert map_size(refs) >= 15
      wait_until(fn -> Connector.connect(peer.node) == :compatible end)
      Cluster.call(peer, PeerScript, :kill, [pids])
      wait_until(fn -> standing() == 0 and ZenMonitor.Local.batch_length() == 0 end)
      Process.sleep(100)

      fired = for {:DOWN, ref, :process, pid, _} <- PeerScript.received(placer), do: {ref, pid}
      assert Enum.sort(fired) == Enum.sort(refs)
    end

    test "leaves the monitors of the new connection alone", %{peer: peer} do
      pids = on(peer, :targets, [100])

      for round <- 1..10 do
        before = watch_all(pids)
        Cluster.disconnect(peer)
        Cluster.connect(peer)
        later = for pid <- pids, do: ZenMonitor.monitor(pid)
        reasons = downs_of(before)
        assert {round, Enum.uniq(reasons)} == {round, [:nodedown]}
        for ref <- later, do: ZenMonitor.demonitor(ref, [:flush])
      end

      refs = for pid <- pids, do: ZenMonitor.monitor(pid)
      wait_until_subscribed(pids)
      for pid <- pids, do: send(pid, {:exit, :true_reason})
      assert refs |> downs() |> Map.values() |> Enum.uniq() == [:true_reason]
    end

    test "has a survivor's true reason over the new connection", %{peer: peer} do
      pid = on(peer, :target)

      for _ <- 1..10 do
        ref = watch(pid)
        Cluster.disconnect(peer)
        Cluster.connect(peer)
        assert down(ref) == {pid, :nodedown}
      end

      ref = ZenMonitor.monitor(pid)
      wait_until_subscribed(pid)
      send(pid, {:exit, :survived})
      assert downs([ref]) == %{ref => :survived}
    end

    defp downs_of(refs), do: for(ref <- refs, do: reason(ref))

    # Starts a process that monitors all the time. Returns a function that ends it and returns what it has placed.
    defp place_all_the_time(pids) do
      placer = PeerScript.watcher()
      counter = :counters.new(1, [])

      task =
        Task.async(fn ->
          pids
          |> Stream.cycle()
          |> Stream.take_while(fn _ -> :counters.get(counter, 1) == 0 end)
          |> Map.new(fn pid ->
            Process.sleep(1)
            {PeerScript.place(placer, pid), pid}
          end)
        end)

      stop = fn ->
        :counters.add(counter, 1, 1)
        Task.await(task, 30_000)
      end

      {placer, stop}
    end
  end

  describe "a node without distribution" do
    setup %{peer: peer} do
      lonely = Cluster.start_peer(distributed: false)
      call = fn function, args -> Cluster.call(lonely, PeerScript, function, args) end
      call.(:named_watcher, [:zen_watcher])
      for name <- [:zen_a, :zen_b, :zen_c], do: call.(:named_target, [name])

      start_distribution = fn ->
        {:ok, _} = call.(:start_distribution, [])
        Cluster.call(lonely, :erlang, :node, [])
      end

      %{peer: peer, lonely: lonely, call: call, start_distribution: start_distribution}
    end

    test "monitors its own processes by pid and by name", %{lonely: lonely, call: call} do
      pid = Cluster.call(lonely, Process, :whereis, [:zen_b])

      for destination <- [:zen_a, {:zen_a, :nonode@nohost}, :zen_unknown, {:name, @nobody}] do
        call.(:place, [:zen_watcher, destination])
      end

      # This is the last instruction that the Proxy gets. Another process may hold the monitor of a pid.
      call.(:place_by_pid, [:zen_watcher, :zen_b])

      wait_until(fn -> call.(:named_watched?, [:zen_b]) and call.(:watched_by_name?, [:zen_a]) end)

      for name <- [:zen_a, :zen_b], do: call.(:kill_named, [name])
      wait_until(fn -> length(fired(lonely)) == 5 end)

      assert Enum.sort(fired(lonely)) ==
               Enum.sort([
                 {pid, :killed},
                 {{:zen_a, :nonode@nohost}, :killed},
                 {{:zen_a, :nonode@nohost}, :killed},
                 {{:zen_unknown, :nonode@nohost}, :noproc},
                 {{:name, @nobody}, :nodedown}
               ])
    end

    test "keeps its monitors when it gets a name", context do
      %{lonely: lonely, call: call, start_distribution: start_distribution} = context
      for name <- [:zen_a, :zen_b, :zen_c], do: call.(:place_by_pid, [:zen_watcher, name])
      call.(:place, [:zen_watcher, :zen_a])

      wait_until(fn -> call.(:named_watched?, [:zen_c]) and call.(:watched_by_name?, [:zen_a]) end)

      node = start_distribution.()
      a = Cluster.call(lonely, Process, :whereis, [:zen_a])
      assert call.(:remove_by_pid, [:zen_watcher, :zen_c])
      refute call.(:remove_by_pid, [:zen_watcher, :zen_c])
      for name <- [:zen_a, :zen_c], do: call.(:kill_named, [name])
      wait_until(fn -> length(fired(lonely)) == 2 end)
      call.(:place_by_pid, [:zen_watcher, :zen_b])
      call.(:place, [:zen_watcher, {:zen_b, node}])
      call.(:place, [:zen_watcher, :zen_b])
      wait_until(fn -> call.(:named_watched?, [:zen_b]) end)
      b = Cluster.call(lonely, Process, :whereis, [:zen_b])
      Process.sleep(200)
      call.(:kill_named, [:zen_b])
      wait_until(fn -> length(fired(lonely)) == 6 end)

      assert Enum.sort(fired(lonely)) ==
               Enum.sort([
                 {a, :killed},
                 {{:zen_a, node}, :killed},
                 {b, :killed},
                 {b, :killed},
                 {{:zen_b, node}, :killed},
                 {{:zen_b, node}, :killed}
               ])
    end

    test "monitors remote ones once it has a name", context do
      %{peer: peer, lonely: lonely, call: call, start_distribution: start_distribution} = context
      call.(:place_by_pid, [:zen_watcher, :zen_a])
      start_distribution.()
      true = Cluster.call(lonely, Node, :connect, [peer.node])
      [pid, kept] = on(peer, :targets, [2])
      for target <- [pid, kept], do: call.(:place, [:zen_watcher, target])
      wait_until_watched(kept)
      Process.exit(pid, :kill)
      wait_until(fn -> fired(lonely) == [{pid, :killed}] end)
      Cluster.call(lonely, Node, :disconnect, [peer.node])
      wait_until(fn -> fired(lonely) == [{pid, :killed}, {kept, :nodedown}] end)
    end

    test "is monitored by others once it has a name", context do
      %{lonely: lonely, start_distribution: start_distribution} = context
      start_distribution.()
      # It does not matter which side connects.
      true = Cluster.call(lonely, Node, :connect, [node()])
      ref = lonely |> Cluster.call(Process, :whereis, [:zen_a]) |> watch()
      lonely |> Cluster.call(Process, :whereis, [:zen_a]) |> Process.exit(:kill)
      assert reason(ref) == :killed
    end

    defp fired(peer) do
      for {:DOWN, _, :process, object, {:zen_monitor, reason}} <-
            Cluster.call(peer, PeerScript, :received, [:zen_watcher]),
          do: {object, reason}
    end
  end

  describe "sweep_interval and chunk_size" do
    test "are 100 ms and 5,000" do
      assert Connector.sweep_interval() == 100
      assert Connector.chunk_size() == 5_000
    end

    test "can be changed" do
      assert Connector.sweep_interval(7) == :ok
      assert Connector.chunk_size(8) == :ok
      assert {Connector.sweep_interval(), Connector.chunk_size()} == {7, 8}
      assert Application.get_env(:zen_monitor, :connector_sweep_interval) == 7
      assert Application.get_env(:zen_monitor, :connector_chunk_size) == 8
    end
  end
end
