defmodule ZenMonitor.Local.DispatcherTest do
  use ZenMonitor.Case

  alias ZenMonitor.Local
  alias ZenMonitor.Local.{Connector, Dispatcher}

  setup_all do
    %{peer: start_connected_peer()}
  end

  describe "deliveries" do
    test "never exceed the amount in any window of one interval", %{peer: peer} do
      Dispatcher.demand_amount(50)
      Dispatcher.demand_interval(100)
      recorder = recorder()
      pids = on(peer, :targets, [500])
      for pid <- pids, do: PeerScript.place(recorder, pid)
      wait_until_watched(List.last(pids))
      on(peer, :kill, [pids])

      times = recorded(recorder, 500)
      # A message may be received late. So the window is a little shorter than the interval.
      assert busiest(times, 80) <= 50
      assert List.last(times) - hd(times) >= 800
    end

    test "share the amount among all subscribers", %{peer: peer} do
      Dispatcher.demand_amount(20)
      Dispatcher.demand_interval(100)
      pid = on(peer, :target)
      recorders = for _ <- 1..100, do: recorder()
      for recorder <- recorders, do: PeerScript.place(recorder, pid)
      wait_until_watched(pid)
      Process.exit(pid, :kill)
      times = recorders |> Enum.flat_map(&recorded(&1, 1)) |> Enum.sort()
      assert busiest(times, 80) <= 20
    end

    test "hold for the death of a node too" do
      Dispatcher.demand_amount(50)
      Dispatcher.demand_interval(100)
      peer = start_connected_peer()
      recorder = recorder()
      pids = on(peer, :targets, [300])
      for pid <- pids, do: PeerScript.place(recorder, pid)
      wait_until_watched(List.last(pids))
      Cluster.disconnect(peer)
      times = recorded(recorder, 300)
      assert busiest(times, 80) <= 50
    end

    test "do not count what was removed", %{peer: peer} do
      pids = on(peer, :targets, [2_000])
      [last | others] = pids |> watch_all() |> Enum.reverse()
      :sys.suspend(Dispatcher)
      on(peer, :kill, [pids])
      wait_until(fn -> Local.batch_length() == 2_000 end)
      for ref <- others, do: ZenMonitor.demonitor(ref)
      assert Local.batch_length() == 1
      :sys.resume(Dispatcher)
      downs([last])
      wait_until(fn -> standing() == 0 end)
    end

    test "come in the order in which the processes of a node died", %{peer: peer} do
      Dispatcher.demand_amount(10)
      Dispatcher.demand_interval(1)
      pids = on(peer, :targets, [200])
      watch_all(pids)

      order = Enum.shuffle(pids)
      on(peer, :kill_in_turn, [order])

      received =
        for _ <- pids do
          assert_receive {:DOWN, _, :process, pid, {:zen_monitor, :killed}}, 10_000
          pid
        end

      assert received == order
    end

    test "of one subscriber do not wait behind the 20,000 of another", %{peer: peer} do
      Dispatcher.demand_amount(1_000)
      Dispatcher.demand_interval(50)
      [crowd, single] = [on(peer, :targets, [20_000]), on(peer, :target)]
      guild = PeerScript.watcher()
      for pid <- crowd, do: PeerScript.place(guild, pid)
      wait_until_watched(List.last(crowd))
      ref = watch(single)
      :sys.suspend(Dispatcher)
      on(peer, :kill, [crowd])
      wait_until(fn -> Local.batch_length() == 20_000 end)
      Process.exit(single, :kill)
      wait_until(fn -> Local.batch_length() == 20_001 end)
      delivered = Metrics.get("zen_monitor.local.dispatcher.events.delivered")
      :sys.resume(Dispatcher)
      assert reason(ref) == :killed
      now = Metrics.get("zen_monitor.local.dispatcher.events.delivered")
      # The first delivery has it, and at most a few more went out before this process ran.
      assert now - delivered <= 5_000
      wait_until(fn -> length(PeerScript.received(guild)) == 20_000 end)
    end

    test "take turns among subscribers, one each", %{peer: peer} do
      pids = on(peer, :targets, [10])
      recorder = self()
      subscribers = for _ <- 1..4, do: tagger(recorder)
      for subscriber <- subscribers, pid <- pids, do: PeerScript.place(subscriber, pid)
      wait_until_watched(List.last(pids))
      :sys.suspend(Dispatcher)
      on(peer, :kill, [pids])
      wait_until(fn -> Local.batch_length() == 40 end)
      Dispatcher.demand_amount(4)
      Dispatcher.demand_interval(50)
      :sys.resume(Dispatcher)

      for _ <- 1..10 do
        turn =
          for _ <- 1..4 do
            assert_receive {:got, subscriber}, 10_000
            subscriber
          end

        assert Enum.sort(turn) == Enum.sort(subscribers)
      end
    end

    test "follow a change of the settings by the next one", %{peer: peer} do
      Dispatcher.demand_amount(10)
      Dispatcher.demand_interval(300)
      recorder = recorder()
      pids = on(peer, :targets, [1_000])
      for pid <- pids, do: PeerScript.place(recorder, pid)
      wait_until_watched(List.last(pids))
      on(peer, :kill, [pids])
      wait_until(fn -> Local.batch_length() == 990 end)
      Dispatcher.demand_amount(495)
      wait_until(fn -> Local.batch_length() == 495 end)
      Dispatcher.demand_amount(1)
      Dispatcher.demand_interval(1)
      wait_until(fn -> Local.batch_length() == 0 end)
      # Two deliveries at 300 ms, the rest one at a time.
      times = recorded(recorder, 1_000)
      assert Enum.at(times, 10) - Enum.at(times, 9) >= 200
      assert List.last(times) - Enum.at(times, 504) >= 495
    end

    defp recorder do
      spawn(fn -> record([], nil) end)
    end

    # A watcher that notes when its messages come.
    defp record(times, waiting) do
      case waiting do
        {amount, from} when length(times) >= amount -> send(from, {self(), Enum.reverse(times)})
        _ -> :ok
      end

      receive do
        {:place, destination, from, tag} ->
          send(from, {tag, ZenMonitor.monitor(destination)})
          record(times, waiting)

        {:recorded, amount, from} ->
          record(times, {amount, from})

        {:DOWN, _, _, _, _} ->
          record([ZenMonitor.now() | times], waiting)
      end
    end

    defp recorded(recorder, amount) do
      send(recorder, {:recorded, amount, self()})
      assert_receive {^recorder, times}, 20_000
      assert length(times) == amount
      times
    end

    # A watcher that tells at once.
    defp tagger(to) do
      spawn(fn -> tag(to) end)
    end

    defp tag(to) do
      receive do
        {:place, destination, from, tag} -> send(from, {tag, ZenMonitor.monitor(destination)})
        {:DOWN, _, _, _, _} -> send(to, {:got, self()})
      end

      tag(to)
    end

    defp busiest(times, window) do
      times
      |> Enum.map(fn start -> Enum.count(times, &(&1 >= start and &1 < start + window)) end)
      |> Enum.max()
    end
  end

  describe "an idle system" do
    test "delivers at once, and what exceeds the budget waits its turn", %{peer: peer} do
      Dispatcher.demand_interval(1_000)
      Dispatcher.demand_amount(1)
      pids = on(peer, :targets, [2])
      refs = watch_all(pids)
      Process.sleep(1_100)

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
      Connector.sweep_interval(1_000)
      Connector.chunk_size(1)
      Connector.connect(peer.node)
      Process.sleep(1_100)

      [first, second] =
        for pid <- on(peer, :targets, [2]) do
          began = ZenMonitor.now()
          watch(pid)
          ZenMonitor.now() - began
        end

      assert 2 * first < second
    end

    test "has no timers" do
      pid = PeerScript.target()
      Dispatcher.demand_interval(1)
      ref = ZenMonitor.monitor(pid)
      Process.exit(pid, :kill)
      down(ref)
      connector = Connector.get(pid)

      for process <- [Dispatcher, Local, connector, ZenMonitor.Proxy] do
        process = if is_atom(process), do: Process.whereis(process), else: process
        wait_until(fn -> Process.info(process, :message_queue_len) == {:message_queue_len, 0} end)
        :erlang.trace(process, true, [:receive])
      end

      refute_receive {:trace, _, :receive, _}, 300
    end
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
    :sys.suspend(Dispatcher)
    on(peer, :kill, [pids])
    wait_until(fn -> Local.batch_length() == 500 end)
    :sys.resume(Dispatcher)
    for ref <- refs, do: reason(ref)

    # Where a hibernating server waits has another name in OTP 28 and later.
    wait_until(fn ->
      {:current_function, {_, function, _}} =
        Process.info(Process.whereis(Dispatcher), :current_function)

      Atom.to_string(function) =~ "hibernate"
    end)
  end
end
