defmodule ZenMonitor.FairnessTest do
  # In which order the Dispatcher sends, told by a trace of it.
  use ZenMonitor.Case

  alias ZenMonitor.Local
  alias ZenMonitor.Local.{Connector, Dispatcher}

  setup_all do
    %{peer: start_connected_peer()}
  end

  test "one DOWN does not wait behind the 20,000 of another subscriber", %{peer: peer} do
    Dispatcher.demand_amount(100)
    [crowd, single] = on(peer, :targets, [2])
    guild = guild(crowd, 20_000)
    watch(single)
    while_suspended(20_000, fn -> Process.exit(crowd, :kill) end)
    trace_deliveries()
    # The single monitor falls due while the Dispatcher is busy with the others.
    deliveries(100)
    delivered = delivered()
    Process.exit(single, :kill)
    wait_until(fn -> Connector.monitors(single, self()) == [] end)
    due_after = delivered() - delivered
    order = for {to, _} <- deliveries(due_after + 200), do: to
    assert Enum.count(order, &(&1 == self())) == 1
    assert Enum.all?(order -- [self()], &(&1 == guild))
  end

  test "one subscriber with a thousand gets what flows, and the others all at once", %{peer: peer} do
    [crowd] = on(peer, :targets, [1])
    # One message flows every 100 ms.
    Dispatcher.demand_interval(100_000)
    guild = guild(crowd, 1_000)
    watchers = watchers(300, [crowd])
    while_suspended(1_300, fn -> Process.exit(crowd, :kill) end)
    order = for {to, _} <- deliveries(303), do: to
    {at_once, flow} = Enum.split(order, 301)
    assert Enum.sort(at_once) == Enum.sort([guild | watchers])
    assert flow == [guild, guild]
  end

  test "a hundred exits at once are delivered at once", %{peer: peer} do
    # One message flows every ten seconds, which is as long as `deliveries/1` waits.
    Dispatcher.demand_interval(10_000_000)
    pids = on(peer, :targets, [100])
    watch_all(pids)
    trace_deliveries()
    on(peer, :kill, [pids])
    assert length(deliveries(100)) == 100
  end

  test "a thousand subscribers with one message each are served in one sweep", %{peer: peer} do
    [crowd] = on(peer, :targets, [1])
    watchers = watchers(1_000, [crowd])
    dispatcher = Process.whereis(Dispatcher)

    while_suspended(1_000, fn ->
      Process.exit(crowd, :kill)
      :erlang.trace(dispatcher, true, [:receive])
    end)

    order = for {to, _} <- deliveries(1_000), do: to
    assert Enum.sort(order) == Enum.sort(watchers)
    # The next one would begin with this message.
    refute_received {:trace_ts, ^dispatcher, :receive, :sweep, _}
  end

  test "pacing: 1 gives one subscriber the whole budget at once", %{peer: peer} do
    [crowd] = on(peer, :targets, [1])
    Dispatcher.demand_interval(100_000)
    Dispatcher.pacing(1)
    guild(crowd, 1_000)
    trace_deliveries()
    while_suspended(1_000, fn -> Process.exit(crowd, :kill) end)
    assert length(deliveries(1_000)) == 1_000
  end

  test "turns are taken by all, one each", %{peer: peer} do
    pids = on(peer, :targets, [10])
    watchers = watchers(4, pids)
    Dispatcher.demand_amount(4)
    while_suspended(40, fn -> on(peer, :kill, [pids]) end)
    assert rounds(40, 4) == List.duplicate(Enum.sort(watchers), 10)
  end

  test "an amount smaller than the number of subscribers serves all of them in turn", %{
    peer: peer
  } do
    pids = on(peer, :targets, [5])
    watchers = watchers(100, pids)
    Dispatcher.demand_amount(7)
    Dispatcher.demand_interval(10)
    while_suspended(500, fn -> on(peer, :kill, [pids]) end)
    assert rounds(500, 100) == List.duplicate(Enum.sort(watchers), 5)
  end

  test "1,000 subscribers with 100 each are done within two rounds", %{peer: peer} do
    pids = on(peer, :targets, [100])
    watchers(1_000, pids)
    Dispatcher.demand_amount(10_000)
    trace_deliveries()
    on(peer, :kill, [Enum.shuffle(pids)])
    # Where the last message of each subscriber is in the order.
    last = for({to, _} <- deliveries(100_000), do: to) |> Enum.with_index() |> Map.new()
    {first_done, last_done} = last |> Map.values() |> Enum.min_max()
    assert map_size(last) == 1_000
    assert last_done - first_done < 2 * 1_000
  end

  test "a subscriber that dies with 100,000 pending frees its share at once", %{peer: peer} do
    [crowd, other] = on(peer, :targets, [2])
    guild = guild(crowd, 100_000)
    watchers(50, [other])
    Dispatcher.demand_amount(10)
    Dispatcher.demand_interval(20)

    # Its monitors are not removed yet when the Dispatcher comes to it.
    while_suspended(100_050, fn ->
      on(peer, :kill, [[crowd, other]])
      wait_until(fn -> Local.batch_length() == 100_050 end)
      :sys.suspend(Local.Tables)
      kill(guild)
      wait_until(fn -> Metrics.message_queue_len(Local.Tables) == 1 end)
      trace_deliveries()
    end)

    served = for {to, _} <- deliveries(50), do: to
    assert length(Enum.uniq(served)) == 50
    refute guild in served
    assert delivered() == 50
    :sys.resume(Local.Tables)
    wait_until(fn -> standing() == 0 and Local.batch_length() == 0 end)
    assert delivered() == 50
    # Its slots can be used by other monitors.
    assert reason(ZenMonitor.monitor(other)) == :noproc
  end

  # A process that monitors one target so many times.
  defp guild(pid, amount) do
    guild = PeerScript.watcher()
    for _ <- 1..amount, do: PeerScript.place(guild, pid)
    wait_until_watched(pid)
    guild
  end

  # Processes that monitor these targets.
  defp watchers(amount, pids) do
    watchers = for _ <- 1..amount, do: PeerScript.watcher()
    for pid <- pids, watcher <- watchers, do: PeerScript.place(watcher, pid)
    wait_until_watched(pids)
    trace_deliveries()
    watchers
  end

  # To whom the next messages go, in rounds of this size.
  defp rounds(amount, size) do
    order = for {to, _} <- deliveries(amount), do: to
    order |> Enum.chunk_every(size) |> Enum.map(&Enum.sort/1)
  end

  defp delivered, do: Metrics.get("zen_monitor.local.dispatcher.events.delivered")
end
