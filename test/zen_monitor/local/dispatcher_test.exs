defmodule ZenMonitor.Local.DispatcherTest do
  use ZenMonitor.Case

  alias ZenMonitor.Local
  alias ZenMonitor.Local.{Connector, Dispatcher}

  setup_all do
    %{peer: start_connected_peer()}
  end

  describe "deliveries" do
    test "never exceed the amount in any window of one interval", %{peer: peer} do
      pids = on(peer, :targets, [10_000])
      watch_all(pids)
      trace_deliveries()
      on(peer, :kill, [pids])
      assert busiest_of(10_000) == 1_000
    end

    test "share the amount among all subscribers", %{peer: peer} do
      Dispatcher.demand_amount(20)
      pid = on(peer, :target)
      watch_by(pid, 100)
      trace_deliveries()
      Process.exit(pid, :kill)
      assert busiest_of(100) <= 20
    end

    test "hold for the death of a node too" do
      Dispatcher.demand_amount(50)
      peer = start_connected_peer()
      watch_all(on(peer, :targets, [300]))
      trace_deliveries()
      Cluster.disconnect(peer)
      assert busiest_of(300) <= 50
    end

    test "by a Dispatcher that is killed again and again do not exceed it", %{peer: peer} do
      Dispatcher.demand_amount(50)
      Dispatcher.demand_interval(500)
      pids = on(peer, :targets, [200])
      refs = watch_all(pids)
      trace_deliveries()
      on(peer, :kill, [pids])

      times =
        for _ <- 1..4 do
          times = for {_, time} <- deliveries(50), do: time
          PeerScript.kill_name(Dispatcher)
          # This comes before the new Dispatcher sends anything.
          trace_deliveries()
          times
        end

      assert times |> Enum.concat() |> busiest(500_000_000) == 50
      for ref <- refs, do: assert(reason(ref) == :killed)
    end

    defp watch_by(pid, amount) do
      watchers = for _ <- 1..amount, do: PeerScript.watcher()
      for watcher <- watchers, do: PeerScript.place(watcher, pid)
      wait_until_watched(pid)
      watchers
    end

    # The interval is 100 ms.
    defp busiest_of(amount) do
      times = for {_, time} <- deliveries(amount), do: time
      busiest(times, 100_000_000)
    end

    test "do not count what was removed", %{peer: peer} do
      Dispatcher.demand_amount(1)
      Dispatcher.demand_interval(60_000)
      pids = on(peer, :targets, [2_000])
      [last | others] = pids |> watch_all() |> Enum.reverse()

      while_suspended(1, fn ->
        on(peer, :kill, [pids])
        wait_until(fn -> Local.batch_length() == 2_000 end)
        for ref <- others, do: ZenMonitor.demonitor(ref)
      end)

      assert reason(last) == :killed
      # The message is there before its monitor is freed.
      wait_until(fn -> standing() == 0 end)
    end

    test "of one long reason are as few in one call as their copies are long", %{peer: peer} do
      pid = on(peer, :target)
      watchers = watch_by(pid, 64)
      reason = {:shutdown, List.duplicate(?x, 16_000)}

      suspend_stage(Dispatcher)
      send(pid, {:exit, reason})
      wait_until(fn -> Local.batch_length() == 64 end)
      # All reasons together have 16 MB.
      {sent, true} = Native.dispatcher_deliver(node(), 64, :all)
      assert sent in 1..32
      assert Local.batch_length() == 64 - sent
      resume_stage(Dispatcher)

      for watcher <- watchers do
        wait_until(fn -> PeerScript.received(watcher) != [] end)

        assert [{:DOWN, _, :process, ^pid, {:zen_monitor, ^reason}}] =
                 PeerScript.received(watcher)
      end
    end

    test "come in the order in which the processes of a node died", %{peer: peer} do
      Dispatcher.demand_amount(10)
      Dispatcher.demand_interval(1)
      pids = on(peer, :targets, [200])
      watch_all(pids)

      order = Enum.shuffle(pids)
      # Holders may certify in either order what exits at the same time.
      on(peer, :kill_certified, [order])

      received =
        for _ <- pids do
          assert_receive {:DOWN, _, :process, pid, {:zen_monitor, :killed}}, 10_000
          pid
        end

      assert received == order
    end

    test "follow a change of the settings by the next one", %{peer: peer} do
      # The whole budget for one subscriber.
      Dispatcher.pacing(1)
      Dispatcher.demand_amount(10)
      Dispatcher.demand_interval(1_000)
      pids = on(peer, :targets, [1_000])
      watch_all(pids)
      trace_deliveries()
      # All are due before the first are sent, so that the next sweep is a whole interval away.
      while_suspended(1_000, fn -> on(peer, :kill, [pids]) end)
      wait_until(fn -> Local.batch_length() == 990 end)
      Dispatcher.demand_amount(495)
      wait_until(fn -> Local.batch_length() == 495 end)
      Dispatcher.demand_amount(1)
      Dispatcher.demand_interval(1)

      {first, rest} = for({_, time} <- deliveries(1_000), do: time) |> Enum.split(10)
      {second, rest} = Enum.split(rest, 495)
      assert hd(second) - List.last(first) >= 1_000_000_000 - 1_000_000
      assert busiest(rest, 1_000_000) == 1
    end
  end

  describe "an idle system" do
    test "delivers at once, and what exceeds the budget waits its turn", %{peer: peer} do
      Dispatcher.demand_interval(2_000)
      Dispatcher.demand_amount(1)
      pids = on(peer, :targets, [2])
      refs = watch_all(pids)
      Process.sleep(2_100)

      [first, second] =
        for {pid, ref} <- Enum.zip(pids, refs) do
          began = ZenMonitor.now()
          Process.exit(pid, :kill)
          assert reason(ref) == :killed
          ZenMonitor.now() - began
        end

      assert 2 * first < second
    end

    test "subscribes at once, and what exceeds the budget waits its turn", %{peer: peer} do
      Connector.sweep_interval(2_000)
      Connector.chunk_size(1)
      Connector.connect(peer.node)
      Process.sleep(2_100)

      [first, second] =
        for pid <- on(peer, :targets, [2]) do
          began = ZenMonitor.now()
          watch(pid)
          ZenMonitor.now() - began
        end

      assert 2 * first < second
    end
  end

  test "periodic deliveries happen on ticks only", %{peer: peer} do
    Application.put_env(:zen_monitor, :sweep, dispatcher: :periodic)
    pids = on(peer, :targets, [4])
    refs = watch_all(pids)
    trace_deliveries()

    times =
      for {pid, ref} <- Enum.zip(pids, refs) do
        Process.exit(pid, :kill)
        assert reason(ref) == :killed
        [{_, time}] = deliveries(1)
        time
      end

    # One message goes out at each tick, and none at once.
    assert busiest(times, 100_000_000) == 1
  end

  test "paced deliveries come by slices", %{peer: peer} do
    Dispatcher.pacing(20)
    pids = on(peer, :targets, [3_000])
    watch_all(pids)
    trace_deliveries()
    on(peer, :kill, [pids])
    times = for {_, time} <- deliveries(3_000), do: time
    assert busiest(times, 100_000_000) <= 1_000
    # Two slices never begin within 2.5 ms. But one may be held up until the next begins.
    assert busiest(times, 2_500_000) <= 2 * 50
  end

  describe "the settings" do
    test "are 1,000 per 100 ms" do
      assert Dispatcher.demand_amount() == 1_000
      assert Dispatcher.demand_interval() == 100
      assert Dispatcher.maximum_mps() == 10_000
    end

    test "can be changed, and maximum_mps/0 follows" do
      assert Dispatcher.demand_amount(30) == :ok
      assert Dispatcher.demand_interval(400) == :ok
      assert {Dispatcher.demand_amount(), Dispatcher.demand_interval()} == {30, 400}
      assert Dispatcher.maximum_mps() == 75
      assert Application.get_env(:zen_monitor, :demand_amount) == 30
      assert Application.get_env(:zen_monitor, :demand_interval) == 400
    end
  end

  test "a Dispatcher that delivered much hibernates", %{peer: peer} do
    Local.hibernation_threshold(100)
    Dispatcher.demand_interval(1)
    pids = on(peer, :targets, [500])
    refs = watch_all(pids)
    suspend_stage(Dispatcher)
    on(peer, :kill, [pids])
    wait_until(fn -> Local.batch_length() == 500 end)
    resume_stage(Dispatcher)
    for ref <- refs, do: reason(ref)

    # Where a hibernating server waits has another name in OTP 28 and later.
    wait_until(fn ->
      {:current_function, {_, function, _}} =
        Process.info(Process.whereis(Dispatcher), :current_function)

      Atom.to_string(function) =~ "hibernate"
    end)
  end
end
