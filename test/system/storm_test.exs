defmodule ZenMonitor.StormTest do
  use ZenMonitor.Case

  import ExUnit.CaptureLog

  alias ZenMonitor.Local.{Connector, Dispatcher}

  setup_all do
    %{peer: start_connected_peer()}
  end

  setup do
    Dispatcher.demand_amount(100_000)
    Connector.chunk_size(100_000)
    # Starts all processes that `downs/1` needs.
    downs([])
    :ok
  end

  test "100,000 deaths reach their subscriber, each once, and nothing crashes", %{peer: peer} do
    pids = on(peer, :targets, [100_000])
    refs = watch_all(pids)
    processes = processes(peer)

    log =
      capture_log(fn ->
        on(peer, :kill, [pids])
        refs |> downs() |> Map.values() |> Enum.uniq() |> send_self()
      end)

    assert_received [:killed]
    assert log == ""
    assert processes(peer) == processes
    assert standing() == 0
  end

  test "the death of a node with 100,000 fires each once, and nothing crashes" do
    peer = start_connected_peer()
    refs = watch_all(on(peer, :targets, [100_000]))
    processes = processes()

    log =
      capture_log(fn ->
        Cluster.stop(peer)
        refs |> downs() |> Map.values() |> Enum.uniq() |> send_self()
      end)

    assert_received [:nodedown]
    assert log == ""
    assert processes() == processes
  end

  test "the death of one process with 20,000 subscribers reaches each once", %{peer: peer} do
    pid = on(peer, :target)
    watchers = for _ <- 1..20_000, do: PeerScript.watcher()
    refs = for watcher <- watchers, do: PeerScript.place(watcher, pid)
    wait_until_watched(pid)
    send(pid, {:exit, {:crash, Enum.to_list(1..10_000)}})
    wait_until(fn -> standing() == 0 end)
    Process.sleep(100)

    for {watcher, ref} <- Enum.zip(watchers, refs) do
      assert PeerScript.received(watcher) ==
               [{:DOWN, ref, :process, pid, {:zen_monitor, {:crash, :truncated}}}]
    end
  end

  test "monitors, removals, deaths and crashes at once end exactly as they must", %{peer: peer} do
    Dispatcher.demand_amount(500)
    Dispatcher.demand_interval(5)
    groups = for _ <- 1..8, do: on(peer, :targets, [1_000])
    test = self()

    workers =
      for pids <- groups do
        Task.async(fn ->
          refs = for pid <- pids, do: ZenMonitor.monitor(pid)
          send(test, :placed)
          {removed, kept} = Enum.split_with(refs, fn _ -> :rand.uniform(2) == 1 end)

          for ref <- removed do
            ZenMonitor.demonitor(ref, [:flush])
            refute_received {:DOWN, ^ref, _, _, _}
          end

          assert map_size(downs(kept)) == length(kept)
        end)
      end

    for _ <- workers, do: assert_receive(:placed, 10_000)
    killer = Task.async(fn -> on(peer, :kill, [Enum.shuffle(Enum.concat(groups))]) end)
    PeerScript.kill_name(Dispatcher)
    PeerScript.kill_name(ZenMonitor.Local)
    Task.await(killer, 30_000)
    Task.await_many(workers, 60_000)
    wait_until(fn -> standing() == 0 end)
  end

  test "200,000 monitors placed and removed leave the memory as it was", %{peer: peer} do
    pids = on(peer, :targets, [20_000])
    first = round_of_monitors(pids)
    for _ <- 1..3, do: round_of_monitors(pids)
    last = round_of_monitors(pids)
    assert last < first * 1.2
  end

  # Places ten monitors on each process, by another subscriber in each round. Returns the memory of the VM without that of
  # the processes.
  defp round_of_monitors(pids) do
    Task.async(fn ->
      refs = for _ <- 1..10, pid <- pids, do: ZenMonitor.monitor(pid)
      for ref <- refs, do: ZenMonitor.demonitor(ref)
    end)
    |> Task.await(60_000)

    assert standing() == 0
    # When this is swept, everything before it was swept.
    hd(pids) |> watch() |> ZenMonitor.demonitor()
    wait_until(fn -> not watched?(hd(pids)) end)
    :erlang.garbage_collect()
    :erlang.memory(:system)
  end

  defp send_self(message), do: send(self(), message)

  # The processes of the supervision trees. They must be the same later.
  defp processes(peer), do: {processes(), on(peer, :supervised)}
  defp processes, do: PeerScript.supervised()
end
