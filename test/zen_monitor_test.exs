defmodule ZenMonitorTest do
  use ZenMonitor.Case

  alias ZenMonitor.Local.{Connector, Dispatcher}
  alias ZenMonitor.{GenModuleSpy, Truncator}

  setup_all do
    %{peer: start_connected_peer()}
  end

  describe "a monitor of a remote process" do
    test "tells that it was killed", %{peer: peer} do
      pid = on(peer, :target)
      ref = watch(pid)
      Process.exit(pid, :kill)
      assert down(ref) == {pid, :killed}
    end

    test "tells that it returned", %{peer: peer} do
      pid = on(peer, :target)
      ref = watch(pid)
      send(pid, :return)
      assert down(ref) == {pid, :normal}
    end

    test "tells any other reason", %{peer: peer} do
      for reason <- [:shutdown, :noconnection, :nodedown, {:shutdown, :a}, %{a: {1, "b"}}, []] do
        pid = on(peer, :target)
        ref = watch(pid)
        send(pid, {:exit, reason})
        assert down(ref) == {pid, reason}
      end
    end

    test "tells :noproc when it was dead before", %{peer: peer} do
      pid = on(peer, :dead_target)
      assert down(ZenMonitor.monitor(pid)) == {pid, :noproc}
    end

    test "tells {:shutdown, term} untouched", %{peer: peer} do
      reason = {:shutdown, {Enum.to_list(1..1_000), String.duplicate("x", 5_000), [{{{{:a}}}}]}}
      pid = on(peer, :target)
      ref = watch(pid)
      send(pid, {:exit, reason})
      assert down(ref) == {pid, reason}
    end

    test "tells the crash of a server without its state", %{peer: peer} do
      Cluster.call(peer, :logger, :set_primary_config, [:level, :none])
      pid = on(peer, :server, [Map.new(1..20_000, &{&1, "value"})])
      ref = watch(pid)
      erts = Process.monitor(pid)
      GenServer.cast(pid, :crash)
      assert_receive {:DOWN, ^erts, :process, _, whole}, 10_000
      assert {^pid, reason} = down(ref)
      assert :erts_debug.flat_size(whole) > 20_000
      assert :erts_debug.flat_size(reason) < 200
      assert reason == Truncator.truncate(whole)
      assert {:function_clause, _} = reason
    end
  end

  describe "the object of a :DOWN is that of Process.monitor/1:" do
    test "a remote pid", %{peer: peer} do
      pid = on(peer, :target)
      assert as_process_monitor(pid, pid) == {pid, :killed}
    end

    test "a local pid" do
      pid = PeerScript.target()
      assert as_process_monitor(pid, pid) == {pid, :killed}
    end

    test "a name on a remote node", %{peer: peer} do
      pid = on(peer, :named_target, [:zen_object])
      destination = {:zen_object, peer.node}
      assert as_process_monitor(destination, pid) == {destination, :killed}
    end

    test "a name on this node" do
      pid = PeerScript.named_target(:zen_object)
      destination = {:zen_object, node()}
      assert as_process_monitor(destination, pid) == {destination, :killed}
    end

    test "a bare name" do
      pid = PeerScript.named_target(:zen_object)
      assert as_process_monitor(:zen_object, pid) == {{:zen_object, node()}, :killed}
    end

    test "an unknown name, local or remote, and a dead process", %{peer: peer} do
      for destination <- [
            :zen_unknown,
            {:zen_unknown, node()},
            {:zen_unknown, peer.node},
            PeerScript.dead_target(),
            on(peer, :dead_target)
          ] do
        assert {object, :noproc} = as_process_monitor(destination, nil)
        assert {destination, object} == {destination, named(destination)}
      end
    end

    defp as_process_monitor(destination, victim) do
      ref = ZenMonitor.monitor(destination)
      erts = Process.monitor(destination)

      if victim do
        wait_until_watched(victim)
        Process.exit(victim, :kill)
      end

      assert_receive {:DOWN, ^erts, :process, object, reason}, 10_000
      assert down(ref) == {object, reason}
      {object, reason}
    end

    defp named(name) when is_atom(name), do: {name, node()}
    defp named(destination), do: destination
  end

  describe "monitor/1" do
    test "returns an ordinary reference of this node, a fresh one each time" do
      pid = PeerScript.target()
      refs = for _ <- 1..100, do: ZenMonitor.monitor(pid)
      assert Enum.all?(refs, &(is_reference(&1) and node(&1) == node()))
      assert length(Enum.uniq(refs)) == 100
    end

    test "does not wait for the Connector, which waits for the network", %{peer: peer} do
      pid = on(peer, :target)
      connector = Connector.get(pid)
      :sys.suspend(connector)
      refs = for _ <- 1..1_000, do: ZenMonitor.monitor(pid)
      :sys.resume(connector)
      Process.exit(pid, :kill)
      downs(refs)
    end

    test "may be called many times for one target: each reference fires once", %{peer: peer} do
      pid = on(peer, :target)
      refs = for _ <- 1..500, do: ZenMonitor.monitor(pid)
      wait_until_watched(pid)
      more = for _ <- 1..500, do: ZenMonitor.monitor(pid)
      Process.exit(pid, :kill)
      reasons = downs(refs ++ more)
      assert Enum.uniq(Map.values(reasons)) == [:killed]
      assert standing() == 0
    end

    test "of one target by 2,000 processes fires once for each", %{peer: peer} do
      pid = on(peer, :target)
      watchers = for _ <- 1..2_000, do: PeerScript.watcher()
      refs = for watcher <- watchers, do: PeerScript.place(watcher, pid)
      wait_until_watched(pid)
      Process.exit(pid, :kill)
      wait_until(fn -> standing() == 0 and ZenMonitor.Local.batch_length() == 0 end)
      Process.sleep(100)

      for {watcher, ref} <- Enum.zip(watchers, refs) do
        assert PeerScript.received(watcher) ==
                 [{:DOWN, ref, :process, pid, {:zen_monitor, :killed}}]
      end
    end

    test "of oneself is fine, and ends with it" do
      watcher = PeerScript.watcher()
      PeerScript.place(watcher, watcher)
      kill(watcher)
      wait_until(fn -> standing() == 0 end)
    end

    test "of a pid from a former life of this node fires with :noproc" do
      former = former_life(self())
      assert node(former) == node()
      assert former != self()
      assert down(ZenMonitor.monitor(former)) == {former, :noproc}
    end

    # The first to monitor something on a node has its Connector started.
    test "does not depend on the fate of another process that monitors the same" do
      destination = {:nobody, :"zen_monitor_nowhere@127.0.0.1"}

      {first, monitor} =
        spawn_monitor(fn ->
          {name, node} = destination
          {:start, ^node} = Native.monitor(self(), node, name, make_ref())
          Process.exit(self(), :kill)
        end)

      assert_receive {:DOWN, ^monitor, :process, ^first, :killed}
      assert down(ZenMonitor.monitor(destination)) == {destination, :nodedown}
    end

    test "raises for what cannot be monitored" do
      for bad <- ["name", 1, {:name}, {:name, "node"}, {"name", node()}, make_ref(), [], %{}] do
        error = assert_raise ArgumentError, fn -> ZenMonitor.monitor(bad) end
        assert error.message =~ "got: #{inspect(bad)}"
        assert error.message =~ "a pid, {name, node} or a registered name"
      end

      assert standing() == 0
    end
  end

  describe "demonitor/2" do
    # The intervals are short, so that nothing waits for the budget.
    setup do
      Connector.sweep_interval(1)
      ZenMonitor.Proxy.Batcher.sweep_interval(1)
      Dispatcher.demand_interval(1)
    end

    test "keeps the :DOWN from coming", %{peer: peer} do
      pid = on(peer, :target)
      [kept, removed] = [ZenMonitor.monitor(pid), ZenMonitor.monitor(pid)]
      assert ZenMonitor.demonitor(removed) == true
      Process.exit(pid, :kill)
      downs([kept])
    end

    test "works twice, and of what is unknown or of another node", %{peer: peer} do
      ref = ZenMonitor.monitor(on(peer, :target))

      for options <- [[], [:flush]] do
        assert ZenMonitor.demonitor(ref, options) == true
        assert ZenMonitor.demonitor(ref, options) == true
        assert ZenMonitor.demonitor(make_ref(), options) == true

        assert ZenMonitor.demonitor(:erpc.call(peer.node, :erlang, :make_ref, []), options) ==
                 true
      end
    end

    test "leaves alone a monitor of Process.monitor/1", %{peer: peer} do
      pid = on(peer, :target)
      erts = Process.monitor(pid)
      assert ZenMonitor.demonitor(erts) == true
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^erts, :process, ^pid, :killed}, 10_000
    end

    test "by another process changes nothing", %{peer: peer} do
      pid = on(peer, :target)
      ref = ZenMonitor.monitor(pid)

      for options <- [[], [:flush]] do
        assert Task.await(Task.async(fn -> ZenMonitor.demonitor(ref, options) end)) == true
      end

      assert Task.await(Task.async(fn -> ZenMonitor.demonitor(ref, [:info]) end)) == false
      Process.exit(pid, :kill)
      downs([ref])
    end

    test "removes a :DOWN that is due already", %{peer: peer} do
      pid = on(peer, :target)
      refs = for _ <- 1..10, do: ZenMonitor.monitor(pid)
      [kept | removed] = refs
      suspend_stage(Dispatcher)
      Process.exit(pid, :kill)
      wait_until(fn -> ZenMonitor.Local.batch_length() == 10 end)

      for {ref, options} <- Enum.zip(removed, Stream.cycle([[], [:flush], [:info]])) do
        assert ZenMonitor.demonitor(ref, options) == true
      end

      assert ZenMonitor.Local.batch_length() == 1
      resume_stage(Dispatcher)
      downs([kept])
    end

    test "never lets a :DOWN through that is on its way", %{peer: peer} do
      # The delivery is so slow that most monitors still wait when the removals begin.
      Dispatcher.demand_amount(10)
      Dispatcher.demand_interval(1)
      pids = on(peer, :targets, [5_000])
      refs = watch_all(pids)
      on(peer, :kill, [Enum.shuffle(pids)])

      removed =
        for ref <- refs do
          # The message must be neither in the mailbox now, nor there later.
          removed? = ZenMonitor.demonitor(ref, [:flush, :info])
          refute_received {:DOWN, ^ref, _, _, _}
          removed?
        end

      assert Enum.any?(removed)
      downs([])
      assert standing() == 0
    end

    test "without :flush leaves a delivered :DOWN in the mailbox, with it removes it" do
      for {options, left} <- [{[], true}, {[:info], true}, {[:flush], false}] do
        ref = delivered(ZenMonitor)
        ZenMonitor.demonitor(ref, options)
        assert {options, in_mailbox?(ref)} == {options, left}
      end
    end

    test "takes and answers :info and :flush as Process.demonitor/2 does" do
      all =
        for options <- [[], [:info], [:flush], [:flush, :info], [:info, :flush]],
            situation <- [:standing, :delivered, :received, :removed, :unknown],
            do: {situation, options}

      # Each in a process of its own, so that they wait at the same time.
      compare = fn {situation, options} ->
        for module <- [ZenMonitor, Process] do
          ref = in_situation(situation, module)
          answer = module.demonitor(ref, options)
          left = in_mailbox?(ref)
          flush()
          {situation, options, answer, left}
        end
      end

      for {:ok, [ours, theirs]} <-
            Task.async_stream(all, compare, max_concurrency: length(all), timeout: 60_000),
          do: assert(ours == theirs)
    end

    test "raises for what is no reference" do
      for bad <- [:ref, 1, self(), nil, "ref"], options <- [[], [:flush], [:info]] do
        error = assert_raise ArgumentError, fn -> ZenMonitor.demonitor(bad, options) end
        assert error.message =~ "a reference"
        assert error.message =~ inspect(bad)
      end
    end

    test "raises for other options, and changes nothing then" do
      pid = PeerScript.target()
      ref = ZenMonitor.monitor(pid)

      for bad <- [[:what], [:flush, :what], :flush, %{}, nil, [{:flush, true}], [:info | :flush]] do
        error = assert_raise ArgumentError, fn -> ZenMonitor.demonitor(ref, bad) end
        assert error.message =~ inspect(bad)
        assert error.message =~ ":flush" or error.message =~ "list of options"
      end

      Process.exit(pid, :kill)
      downs([ref])
    end

    defp in_situation(:standing, module), do: module.monitor(PeerScript.target())
    defp in_situation(:delivered, module), do: delivered(module)
    defp in_situation(:unknown, _module), do: make_ref()

    defp in_situation(:received, module) do
      ref = delivered(module)
      flush()
      ref
    end

    defp in_situation(:removed, module) do
      ref = module.monitor(PeerScript.target())
      module.demonitor(ref)
      ref
    end

    defp delivered(module) do
      pid = PeerScript.target()
      ref = module.monitor(pid)
      Process.exit(pid, :kill)
      wait_until(fn -> in_mailbox?(ref) end)
      ref
    end

    defp in_mailbox?(ref) do
      {:messages, messages} = Process.info(self(), :messages)
      Enum.any?(messages, &match?({:DOWN, ^ref, _, _, _}, &1))
    end

    defp flush do
      receive do
        {:DOWN, _, _, _, _} -> flush()
      after
        0 -> :ok
      end
    end
  end

  describe "the death of a subscriber" do
    test "takes all its monitors with it, and nobody else's", %{peer: peer} do
      [theirs, shared] = [on(peer, :targets, [1_000]), on(peer, :target)]
      watcher = PeerScript.watcher()
      for pid <- [shared | theirs], do: PeerScript.place(watcher, pid)
      ref = ZenMonitor.monitor(shared)
      wait_until(fn -> Enum.all?([hd(theirs), List.last(theirs)], &watched?(&1)) end)
      kill(watcher)
      wait_until(fn -> standing() == 1 end)
      wait_until(fn -> not Enum.any?(theirs, &watched?(&1)) end)
      assert watched?(shared)
      Process.exit(shared, :kill)
      assert downs([ref]) == %{ref => :killed}
    end

    test "has the remote node told", %{peer: peer} do
      GenModuleSpy.watch()
      pids = on(peer, :targets, [3])
      watcher = PeerScript.watcher()
      for pid <- pids, do: PeerScript.place(watcher, pid)
      assert instructions(3) == for(pid <- pids, do: {:subscribe, pid})
      kill(watcher)
      assert Enum.sort(instructions(3)) == Enum.sort(for pid <- pids, do: {:unsubscribe, pid})
    end

    test "takes what is due with it", %{peer: peer} do
      pid = on(peer, :target)
      watcher = PeerScript.watcher()
      for _ <- 1..100, do: PeerScript.place(watcher, pid)
      wait_until_watched(pid)
      suspend_stage(Dispatcher)
      Process.exit(pid, :kill)
      wait_until(fn -> ZenMonitor.Local.batch_length() == 100 end)
      kill(watcher)
      wait_until(fn -> ZenMonitor.Local.batch_length() == 0 end)
      resume_stage(Dispatcher)
      wait_until(fn -> standing() == 0 end)
    end

    test "before the monitor is placed leaves nothing" do
      [target, watcher] = [PeerScript.target(), PeerScript.dead_target()]
      Connector.monitor(target, make_ref(), watcher)
      wait_until(fn -> standing() == 0 end)
    end

    defp instructions(0), do: []

    defp instructions(amount) do
      assert_receive {:spy_cast, _, {:process, _, list}}, 10_000
      list ++ instructions(amount - length(list))
    end
  end

  describe "compatibility/1 and compatibility_for_node/1" do
    test "tell what is known of the destination's node", %{peer: peer} do
      pid = on(peer, :target)
      destinations = [pid, {:any, peer.node}]
      for destination <- destinations, do: assert(compatibility(destination) == :incompatible)
      assert ZenMonitor.connect(peer.node) == :compatible
      for destination <- destinations, do: assert(compatibility(destination) == :compatible)
      assert ZenMonitor.compatibility({:any, :nobody@nowhere}) == :incompatible
    end

    test "tell of this node" do
      assert ZenMonitor.connect(node()) == :compatible

      for destination <- [self(), :any, {:any, node()}] do
        assert compatibility(destination) == :compatible
      end
    end

    defp compatibility(destination) do
      node = ZenMonitor.find_node(destination)
      compatibility = ZenMonitor.compatibility(destination)
      assert compatibility == ZenMonitor.compatibility_for_node(node)
      compatibility
    end
  end

  describe "find_node/1" do
    test "tells the node of a destination", %{peer: peer} do
      assert ZenMonitor.find_node(self()) == node()
      assert ZenMonitor.find_node(on(peer, :target)) == peer.node
      assert ZenMonitor.find_node({:name, :some@where}) == :some@where
      assert ZenMonitor.find_node(:name) == node()
    end

    test "raises for what is no destination" do
      for bad <- ["name", 1, {:name}, {:name, "node"}, make_ref()] do
        error = assert_raise ArgumentError, fn -> ZenMonitor.find_node(bad) end
        assert error.message =~ "got: #{inspect(bad)}"
        assert error.message =~ "a pid, {name, node} or a registered name"
      end
    end
  end

  test "now/0 is the monotonic time in milliseconds" do
    before = System.monotonic_time(:millisecond)
    now = ZenMonitor.now()
    assert now in before..System.monotonic_time(:millisecond)
  end

  describe "gen_module" do
    test "is GenServer" do
      assert ZenMonitor.gen_module() == GenServer
    end

    test "can be changed, and is what pings and instructions go through", %{peer: peer} do
      assert GenModuleSpy.watch() == :ok
      assert ZenMonitor.gen_module() == GenModuleSpy
      pid = on(peer, :target)
      proxy = {ZenMonitor.Proxy, peer.node}
      connector = Connector.get(pid)
      ZenMonitor.monitor(pid)
      assert_receive {:spy_call, ^proxy, :ping}, 10_000
      assert_receive {:spy_cast, ^proxy, {:process, ^connector, [{:subscribe, ^pid}]}}, 10_000
    end

    test "is refused when it is no module" do
      for bad <- [nil, true, "GenServer", 1, {GenServer}] do
        error = assert_raise ArgumentError, fn -> ZenMonitor.gen_module(bad) end
        assert error.message =~ "gen_module"
        assert error.message =~ "got: #{inspect(bad)}"
      end

      assert ZenMonitor.gen_module() == GenServer
    end
  end

  describe "the supervision tree" do
    setup do
      Application.stop(:zen_monitor)
    end

    test "may be started by hand, with fresh tables each time", %{peer: peer} do
      start_supervised!(ZenMonitor.Supervisor)
      pids = on(peer, :targets, [100])
      watch_all(pids)
      assert standing() == 100
      :ok = stop_supervised(ZenMonitor.Supervisor)

      start_supervised!(ZenMonitor.Supervisor)
      assert standing() == 0
      on(peer, :kill, [pids])
      downs([])
    end

    test "that is stopped takes the subscriptions with it", %{peer: peer} do
      start_supervised!(ZenMonitor.Supervisor)
      pid = on(peer, :target)
      ZenMonitor.monitor(pid)
      wait_until_watched(pid)
      :ok = stop_supervised(ZenMonitor.Supervisor)
      wait_until(fn -> not watched?(pid) end)
    end

    test "that does not run makes monitor/1 raise and leaves nothing", %{peer: peer} do
      for destination <- [self(), :name, on(peer, :target)] do
        error = catch_error(ZenMonitor.monitor(destination))
        assert Exception.message(Exception.normalize(:error, error)) =~ "not_running"
      end
    end
  end

  # The creation of a node is the last word of its pids in the external term format.
  defp former_life(pid) do
    encoded = :erlang.term_to_binary(pid)
    size = byte_size(encoded) - 4
    {head, <<creation::32>>} = {binary_part(encoded, 0, size), binary_part(encoded, size, 4)}
    :erlang.binary_to_term(<<head::binary, creation + 1::32>>)
  end
end
