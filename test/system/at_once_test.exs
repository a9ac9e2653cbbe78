defmodule ZenMonitor.AtOnceTest do
  # On the way of an exit that comes alone, only those run who must. Nobody's time is measured: who has not run has
  # as many reductions as before.
  use ZenMonitor.Case

  alias ZenMonitor.Local.Dispatcher

  setup do
    peer = start_connected_peer()
    [standing, target | targets] = on(peer, :targets, [60])
    watch_all([standing, target | targets])
    [{_, batcher, _, _}] = on(peer, :children, [ZenMonitor.Proxy.Batcher.supervisor()])
    context = %{peer: peer, batcher: batcher}
    settle(context)
    Map.merge(context, %{standing: standing, target: target, targets: targets})
  end

  test "an exit wakes neither the Batcher nor the Dispatcher", context do
    before = reductions(context)
    kill_and_wait(context.target)
    settle(context)
    assert reductions(context) == before
  end

  test "nor do exits one after the other", %{targets: targets} = context do
    before = reductions(context)
    # Few enough for any gap.
    for target <- Enum.take(targets, 6), do: kill_and_wait(target)
    settle(context)
    assert reductions(context) == before
  end

  test "the Batcher sends what is more than a few, and the Dispatcher delivers what is left",
       context do
    %{targets: targets, peer: peer} = context
    {batcher, dispatcher} = reductions(context)
    on(peer, :kill, [targets])

    for target <- targets,
        do: assert_receive({:DOWN, _, _, ^target, {:zen_monitor, :killed}}, 10_000)

    settle(context)
    {more, _} = reductions(context)
    assert more > batcher
    Dispatcher.demand_amount(1)
    Dispatcher.demand_interval(10)
    targets = on(peer, :targets, [9])
    watch_all(targets)
    on(peer, :kill, [targets])

    for target <- targets,
        do: assert_receive({:DOWN, _, _, ^target, {:zen_monitor, :killed}}, 10_000)

    settle(context)
    assert elem(reductions(context), 1) > dispatcher
  end

  test "the budget holds, whoever sends", %{targets: targets} do
    Dispatcher.demand_interval(400)
    Dispatcher.demand_amount(7)
    trace_deliveries()
    Process.sleep(400)

    for target <- Enum.take(targets, 20) do
      Process.exit(target, :kill)
      # So that many come alone.
      Process.sleep(3)
    end

    times = for {_, time} <- deliveries(20), do: time
    # What is delivered by one call is noted after it.
    assert busiest(times, 400_000_000) <= 7
  end

  test "in periodic sweeping and with pacing, all waits for its time", context do
    Dispatcher.pacing(20)
    {_, dispatcher} = reductions(context)
    kill_and_wait(context.target)
    assert elem(reductions(context), 1) > dispatcher
    [first, second | _] = context.targets
    on(context.peer, :configure, [[sweep: :periodic]])
    # A change behind the back of the library is seen when somebody has stood in.
    kill_and_wait(first)
    settle(context)
    {batcher, _} = reductions(context)
    kill_and_wait(second)
    assert elem(reductions(context), 0) > batcher
  end

  test "a setting that is changed behind the back holds from the second exit on", context do
    [first, second | targets] = context.targets
    Application.put_env(:zen_monitor, :demand_interval, 400)
    Application.put_env(:zen_monitor, :demand_amount, 1)
    kill_and_wait(first)
    settle(context)
    trace_deliveries()
    for target <- [second, hd(targets)], do: kill_and_wait(target)
    [{_, one}, {_, next}] = deliveries(2)
    assert next - one >= 400_000_000
  end

  test "a setting that is set holds from the first exit on", context do
    [first, second | _] = context.targets
    Dispatcher.demand_interval(400)
    Dispatcher.demand_amount(1)
    trace_deliveries()
    for target <- [first, second], do: kill_and_wait(target)
    [{_, one}, {_, next}] = deliveries(2)
    assert next - one >= 400_000_000
  end

  test "the Batcher still retires when nothing is left to watch", context do
    %{peer: peer, batcher: batcher} = context
    on(peer, :configure, [[idle_timeout: 100]])
    for target <- [context.target | context.targets], do: kill_and_wait(target)
    Process.sleep(300)
    assert :erpc.call(peer.node, Process, :alive?, [batcher])
    kill_and_wait(context.standing)
    wait_until(fn -> not :erpc.call(peer.node, Process, :alive?, [batcher]) end)
  end

  defp kill_and_wait(pid) do
    Process.exit(pid, :kill)
    assert_receive {:DOWN, _, :process, ^pid, {:zen_monitor, :killed}}, 10_000
  end

  defp reductions(%{peer: peer, batcher: batcher}) do
    {:reductions, there} = :erpc.call(peer.node, Process, :info, [batcher, :reductions])
    {:reductions, here} = Process.info(Process.whereis(Dispatcher), :reductions)
    {there, here}
  end

  # Until neither has run for longer than it takes a process to hibernate.
  defp settle(context) do
    before = reductions(context)
    Process.sleep(1_200)
    if reductions(context) != before, do: settle(context)
  end
end
