defmodule ZenMonitor.IdleTest do
  # A process with nothing to do sleeps, and after a while it stops. Nothing is lost at the moment at which it
  # stops.
  use ZenMonitor.Case

  alias ZenMonitor.{Local, Proxy}
  alias ZenMonitor.Local.{Connector, Connectors, Dispatcher}
  alias ZenMonitor.Proxy.Batcher

  setup_all do
    %{peer: start_connected_peer()}
  end

  # The idle timeout is never shorter than the interval, so the interval is set as well.
  defp hasten(timeout, interval \\ 1) do
    ZenMonitor.idle_timeout(timeout)
    Connector.sweep_interval(interval)
    Batcher.sweep_interval(interval)
  end

  # Both sides of the peer, which keeps its configuration from test to test.
  defp hasten_peer(peer, timeout) do
    :ok = on(peer, :configure, [[idle_timeout: timeout, batcher_sweep_interval: 1]])
    on_exit(fn -> Cluster.call(peer, PeerScript, :reset_configuration, []) end)
  end

  describe "an idle process" do
    test "has no timer, is not woken, and hibernates", %{peer: peer} do
      Local.hibernation_threshold(3)
      Dispatcher.demand_interval(10)
      [pid, standing] = on(peer, :targets, [2])
      [ref, _] = watch_all([pid, standing])
      local = PeerScript.target()
      local_ref = watch(local)
      Process.exit(pid, :kill)
      Process.exit(local, :kill)
      downs([ref, local_ref])
      # It has slept on, and so does not know the threshold yet.
      send(Dispatcher, :wake)

      connector = Connector.get(pid)
      idle = [Process.whereis(Dispatcher), connector, Batcher.get(Connector.get(local))]
      # A monitor stands on the node, so the Connector has no idle timer.
      assert :sys.get_state(connector).pace.idle == nil
      wait_until(fn -> Enum.all?(idle, &hibernated?/1) end)

      processes = idle ++ for(name <- [Local, Proxy, Connectors], do: Process.whereis(name))
      for process <- processes, do: :erlang.trace(process, true, [:receive])
      refute_receive {:trace, _, :receive, _}, 300
    end

    test "is one of 200 Connectors that do nothing" do
      nodes = for number <- 1..200, do: :"zen_idle_#{number}@nowhere"
      refs = for node <- nodes, do: ZenMonitor.monitor({:name, node})
      downs(refs)
      connectors = for node <- nodes, do: Connector.get_for_node(node)
      wait_until(fn -> Enum.all?(connectors, &hibernated?/1) end)
      for connector <- connectors, do: :erlang.trace(connector, true, [:receive])
      refute_receive {:trace, _, :receive, _}, 300
    end

    # Where a hibernating server waits has another name in OTP 28 and later.
    defp hibernated?(process) do
      {:current_function, {_, function, _}} = Process.info(process, :current_function)
      Atom.to_string(function) =~ "hibernate"
    end
  end

  describe "a Connector" do
    test "stops when nothing is monitored any more, and the next monitor starts another",
         context do
      %{peer: peer} = context
      hasten(20)
      [pid, other] = on(peer, :targets, [2])
      ref = watch(pid)
      connector = monitored_connector(peer.node)
      send(pid, {:exit, :told})
      assert downs([ref]) == %{ref => :told}
      assert_receive {:DOWN, _, :process, ^connector, :normal}, 10_000
      assert Native.connector(peer.node) == nil

      ref = watch(other)
      refute Connector.get_for_node(peer.node) == connector
      send(other, {:exit, :told_too})
      assert downs([ref]) == %{ref => :told_too}
    end

    test "stops after the last monitor was removed", %{peer: peer} do
      hasten(20)
      pid = on(peer, :target)
      ref = watch(pid)
      connector = monitored_connector(peer.node)
      ZenMonitor.demonitor(ref)
      assert_receive {:DOWN, _, :process, ^connector, :normal}, 10_000
      wait_until(fn -> not watched?(pid) end)
    end

    test "stops after the last subscriber died", %{peer: peer} do
      hasten(20)
      watcher = PeerScript.watcher()
      PeerScript.place(watcher, on(peer, :target))
      connector = monitored_connector(peer.node)
      kill(watcher)
      assert_receive {:DOWN, _, :process, ^connector, :normal}, 10_000
    end

    test "stops after its node has gone" do
      hasten(20)
      peer = start_connected_peer()
      ref = watch(on(peer, :target))
      connector = monitored_connector(peer.node)
      Cluster.disconnect(peer)
      assert downs([ref]) == %{ref => :nodedown}
      assert_receive {:DOWN, _, :process, ^connector, :normal}, 10_000
      assert Connector.cached_compatibility(peer.node) == :unavailable
    end

    test "stays while a monitor stands, or without a timeout", %{peer: peer} do
      hasten(1)
      watch(on(peer, :target))
      connector = monitored_connector(peer.node)
      refute_receive {:DOWN, _, :process, ^connector, _}, 100

      ZenMonitor.idle_timeout(:infinity)
      idle = Connector.get_for_node(node())
      assert :sys.get_state(idle).pace.idle == nil
    end

    test "leaves no stale entry in the cache", %{peer: peer} do
      hasten(20)
      assert Connector.connect(peer.node) == :compatible
      wait_until(fn -> Native.connector(peer.node) == nil end)
      assert Connector.cached_compatibility(peer.node) == :miss
      assert ZenMonitor.compatibility_for_node(peer.node) == :incompatible
      assert ZenMonitor.connect(peer.node) == :compatible
    end

    test "that has retired is not started by a new Connectors", %{peer: peer} do
      hasten(20)
      ref = watch(on(peer, :target))
      assert ZenMonitor.connect(node()) == :compatible
      wait_until(fn -> Native.connector(Local) == nil end)
      PeerScript.kill_name(Connectors)
      :sys.get_state(Connectors)
      assert [{_, connector, _, _}] = DynamicSupervisor.which_children(Connectors.supervisor())
      assert connector == Connector.get_for_node(peer.node)
      assert Process.alive?(connector)
      ZenMonitor.demonitor(ref)
    end

    test "that finds something to do when it is about to retire goes on", %{peer: peer} do
      assert Connector.connect(peer.node) == :compatible
      connector = monitored_connector(peer.node)
      wait_until(fn -> :sys.get_state(connector).pace.idle != nil end)
      %{pace: %{idle: idle}} = :sys.get_state(connector)
      :sys.suspend(connector)
      send(connector, {:timeout, idle, :idle})
      pid = on(peer, :target)
      ref = ZenMonitor.monitor(pid)
      :sys.resume(connector)
      wait_until_watched(pid)
      assert Native.connector(peer.node) == connector
      send(pid, {:exit, :told})
      assert downs([ref]) == %{ref => :told}
      refute_received {:DOWN, _, :process, ^connector, _}
    end

    test "that has retired and not yet stopped is replaced for what comes in between", context do
      %{peer: peer} = context
      connector = retire(peer)
      pid = on(peer, :target)
      ref = ZenMonitor.monitor(pid)
      # `Connectors` was asked for a new Connector, and still knows the one that is about to stop.
      assert :sys.get_state(Connectors).connectors[peer.node] == connector
      GenServer.stop(connector)
      wait_until_watched(pid)
      send(pid, {:exit, :told})
      assert downs([ref]) == %{ref => :told}
    end

    test "that has retired and not yet stopped is not the one of its node", %{peer: peer} do
      connector = retire(peer)
      another = Task.async(fn -> Connector.get_for_node(peer.node) end)
      assert Task.yield(another, 50) == nil
      GenServer.stop(connector)
      refute Task.await(another) == connector
    end

    # A Connector that has retired and not stopped yet.
    defp retire(peer) do
      assert Connector.connect(peer.node) == :compatible
      connector = Connector.get_for_node(peer.node)

      :sys.replace_state(connector, fn state ->
        assert Native.connector_retire(peer.node)
        state
      end)

      connector
    end

    test "that retires all the time answers every connect/1", %{peer: peer} do
      hasten(1)

      tasks =
        for _ <- 1..20 do
          Task.async(fn ->
            for _ <- 1..100 do
              Process.sleep(:rand.uniform(3))
              ZenMonitor.connect(peer.node)
            end
          end)
        end

      assert tasks |> Task.await_many(60_000) |> Enum.concat() |> Enum.uniq() == [:compatible]
    end

    defp monitored_connector(node) do
      connector = Connector.get_for_node(node)
      Process.monitor(connector)
      connector
    end
  end

  describe "a Batcher" do
    test "stops when its Connector has no subscription, and the next one starts another" do
      hasten(20)
      batcher = Batcher.get(self())
      monitor = Process.monitor(batcher)
      assert_receive {:DOWN, ^monitor, :process, ^batcher, :normal}, 10_000
      assert :sys.get_state(Proxy) == %{}

      target = subscribe_to_target()
      refute Batcher.get(self()) == batcher
      send(target, {:exit, :told})
      assert_receive {:dead, _, [{^target, :told}]}, 10_000
    end

    test "stops after the last subscription was taken back" do
      hasten(20)
      target = subscribe_to_target()
      batcher = Batcher.get(self())
      monitor = Process.monitor(batcher)
      # The connector has a subscription, so the Batcher has no idle timer.
      wait_until(fn -> :sys.get_state(batcher).pace.idle == nil end)
      GenServer.cast(Proxy, {:process, self(), [{:unsubscribe, target}]})
      assert_receive {:DOWN, ^monitor, :process, ^batcher, :normal}, 10_000
    end

    test "stays while there is a subscription" do
      hasten(1)
      subscribe_to_target()
      monitor = Process.monitor(Batcher.get(self()))
      refute_receive {:DOWN, ^monitor, :process, _, _}, 100
    end

    defp subscribe_to_target do
      target = PeerScript.target()
      GenServer.cast(Proxy, {:process, self(), [{:subscribe, target}]})
      wait_until_watched(target)
      target
    end
  end

  describe "at the edge of retirement" do
    test "every monitor fires", %{peer: peer} do
      hasten(1)
      hasten_peer(peer, 1)
      dead = on(peer, :dead_target)
      here = PeerScript.dead_target()

      seen =
        for _ <- 1..8 do
          Task.async(fn ->
            for _ <- 1..1_200, reduce: MapSet.new() do
              seen ->
                refs = for pid <- [dead, here], do: ZenMonitor.monitor(pid)
                seen = MapSet.put(seen, Native.connector(peer.node))
                for ref <- refs, do: assert(reason(ref) == :noproc)
                Process.sleep(:rand.uniform(4) - 1)
                seen
            end
          end)
        end
        |> Task.await_many(100_000)
        |> Enum.reduce(&MapSet.union/2)

      # Enough Connectors have stopped and been started again.
      assert MapSet.size(seen) > 20
      wait_until(fn -> standing() == 0 end)
      wait_until(fn -> DynamicSupervisor.which_children(Connectors.supervisor()) == [] end)
      wait_until(fn -> on(peer, :children, [Batcher.supervisor()]) == [] end)
    end

    test "every monitor fires with its true reason, whoever is killed", %{peer: peer} do
      hasten(1)
      hasten_peer(peer, 1)
      # The successor of a Dispatcher waits for an interval first.
      Dispatcher.demand_interval(5)
      killer = spawn_link(fn -> keep_killing([Connectors, Local, Dispatcher]) end)

      for _ <- 1..100 do
        pids = on(peer, :targets, [5])
        refs = watch_all(pids)
        for pid <- pids, do: send(pid, {:exit, :told})
        for ref <- refs, do: assert(reason(ref) == :told)
      end

      Process.unlink(killer)
      kill(killer)
      wait_until(fn -> standing() == 0 end)
    end

    test "every removed monitor is gone on the other side", %{peer: peer} do
      hasten(1)
      hasten_peer(peer, 1)
      [pid, last] = on(peer, :targets, [2])

      for _ <- 1..300 do
        ref = ZenMonitor.monitor(pid)
        Process.sleep(:rand.uniform(4) - 1)
        ZenMonitor.demonitor(ref)
        if :rand.uniform(2) == 1, do: Process.sleep(2)
      end

      # This monitor is sent after all that.
      ref = watch(last)
      wait_until(fn -> not watched?(pid) end)
      send(last, {:exit, :told})
      assert reason(ref) == :told
    end

    defp keep_killing(names) do
      for name <- names, pid = Process.whereis(name) do
        Process.exit(pid, :kill)
        Process.sleep(20)
      end

      keep_killing(names)
    end
  end
end
