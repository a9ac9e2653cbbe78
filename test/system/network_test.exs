defmodule ZenMonitor.NetworkTest do
  # A network that loses packets silently: three hosts, of which one is cut off for less and for longer than the
  # net tick.
  use ExUnit.Case

  alias ZenMonitor.{Cluster, Hosts, PeerScript}

  import ZenMonitor.Cluster, only: [wait_until: 1]

  if reason = Hosts.missing(), do: @moduletag(skip: reason)

  # A silent node is noticed 3 to 5 seconds after it was last heard of.
  @net_tick 4
  @amount 200

  setup context do
    hosts = [_, cut_off, _] = Hosts.start(3)
    grace = Map.get(context, :grace, 60_000)

    nodes =
      for host <- hosts do
        env = [nodedown_grace: grace, connector_sweep_interval: 10]
        node = Hosts.start_peer(host, kernel: [net_ticktime: @net_tick], env: env)
        # The log lines about a node that does not answer are expected.
        call(node, Logger, :configure, [[level: :error]])
        node
      end

    for one <- nodes, other <- nodes, one != other, do: reconnect(one, other)

    # Each node watches processes of the two others. They die at once, during the outage, or not at all.
    targets = for node <- nodes, do: call(node, :targets, [@amount])
    watchers = for node <- nodes, do: watch(node, List.delete(targets, own(targets, nodes, node)))
    for {node, pids} <- Enum.zip(nodes, targets), do: wait_until_watched(node, pids)
    %{nodes: nodes, cut_off: cut_off, targets: targets, watchers: watchers}
  end

  test "a cable that is out for less than the net tick costs nothing", context do
    %{nodes: nodes, targets: [[a, b | _], [c, d | _], [e | _]]} = context
    [one, two, three] = nodes
    Hosts.unplug(context.cut_off)
    # TCP sends again what is lost.
    call(one, :kill, [[a]])
    call(two, :kill, [[c]])
    call(three, :kill, [[e]])
    Process.sleep(1_000)
    Hosts.plug(context.cut_off)
    call(one, :kill, [[b]])
    call(two, :kill, [[d]])

    expect(context, [
      %{c => :killed, d => :killed, e => :killed},
      %{a => :killed, b => :killed, e => :killed},
      %{a => :killed, b => :killed, c => :killed, d => :killed}
    ])

    assert Enum.all?(nodes, &(length(call(&1, Node, :list, [])) == 2))
  end

  test "one that is out for longer costs nothing either, with a grace", context do
    %{nodes: nodes, targets: [[a, b | _], [c, d | _], [e, f | _]]} = context
    [one, two, three] = nodes
    Hosts.unplug(context.cut_off)
    wait_until_lost(nodes)
    # Its Connectors may hear of the loss a little later than the list of nodes shows it.
    wait_until(fn -> call(one, ZenMonitor.Metrics, :get, [held()]) == @amount end)
    # Nodes that are connected get the reason, and the others find the processes dead.
    call(one, :kill, [[a]])
    call(two, :kill, [[c]])
    call(three, :kill, [[e]])
    wait_until(fn -> downs(context, 0) == %{e => :killed} end)
    Hosts.plug(context.cut_off)
    for other <- [one, three], do: reconnect(two, other)
    wait_until(fn -> Enum.all?(nodes, &(call(&1, ZenMonitor.Metrics, :get, [held()]) == 0)) end)
    # Each of the other nodes has subscribed again to all but the dead one.
    for node <- nodes,
        do: wait_until(fn -> call(node, :subscriptions, []) == 2 * (@amount - 1) end)

    for {node, pids} <- Enum.zip(nodes, context.targets), do: wait_until_watched(node, tl(pids))
    call(one, :kill, [[b]])
    call(two, :kill, [[d]])
    call(three, :kill, [[f]])

    expect(context, [
      %{c => :noproc, d => :killed, e => :killed, f => :killed},
      %{a => :noproc, b => :killed, e => :noproc, f => :killed},
      %{a => :killed, b => :killed, c => :noproc, d => :killed}
    ])
  end

  @tag grace: 0
  test "one that is out for longer fires all between the two sides, without a grace", context do
    %{nodes: [_, two, _] = nodes, targets: [of_one, of_two, of_three]} = context
    Hosts.unplug(context.cut_off)
    wait_until_lost(nodes)
    down = &Map.new(&1, fn pid -> {pid, :nodedown} end)
    expect(context, [down.(of_two), down.(of_one ++ of_three), down.(of_two)])
    Hosts.plug(context.cut_off)
    reconnect(hd(nodes), two)
    watcher = watch(hd(nodes), [of_two])
    wait_until_watched(two, of_two)
    call(two, :kill, [of_two])
    wait_until(fn -> map_size(call(hd(nodes), :downs, [watcher])) == @amount end)
    expect(context, [down.(of_two), down.(of_one ++ of_three), down.(of_two)])
  end

  # Checks that each node gets exactly these reasons, once each.
  defp expect(context, expected) do
    for {reasons, index} <- Enum.with_index(expected) do
      wait_until(fn -> map_size(downs(context, index)) == map_size(reasons) end)
    end

    Process.sleep(100)

    for {reasons, index} <- Enum.with_index(expected) do
      assert downs(context, index) == reasons
    end
  end

  defp downs(%{nodes: nodes, watchers: watchers}, index) do
    downs = call(Enum.at(nodes, index), :downs, [Enum.at(watchers, index)])
    assert Enum.all?(downs, fn {_, times} -> times == 1 end)
    Map.new(downs, fn {{pid, reason}, _} -> {pid, reason} end)
  end

  defp wait_until_lost([one, two, three]) do
    wait_until(fn ->
      call(two, Node, :list, []) == [] and
        Enum.all?([one, three], &(two.node not in call(&1, Node, :list, [])))
    end)
  end

  defp reconnect(one, other) do
    wait_until(fn -> call(one, Node, :connect, [other.node]) == true end)
  end

  defp watch(node, targets) do
    watcher = call(node, :watcher, [])
    call(node, :place_all, [watcher, List.flatten(targets)])
    watcher
  end

  defp wait_until_watched(node, pids) do
    wait_until(fn -> Enum.all?(pids, &call(node, :watched?, [&1])) end)
  end

  defp own(targets, nodes, node), do: Enum.at(targets, Enum.find_index(nodes, &(&1 == node)))
  defp held, do: "zen_monitor.local.held"
  defp call(node, function, args), do: call(node, PeerScript, function, args)
  defp call(node, module, function, args), do: Cluster.call(node, module, function, args, 60_000)
end
