defmodule ZenMonitor.MeshTest do
  # Four nodes with OTP's default flags: all connect to all, and when one cuts another off, `global` has
  # the others drop both. So whatever a node does to another is felt by the whole cluster.
  use ExUnit.Case

  alias ZenMonitor.{Cluster, PeerScript}

  import ZenMonitor.Cluster, only: [wait_until: 1]

  @limit 1_000
  @many 20_000

  for carrier <- [:tcp, :tls] do
    describe "a mass exit over #{carrier}" do
      @describetag carrier: carrier

      setup :mesh

      test "is told to a node that reads, within the budget, and to nobody's harm", %{
        nodes: nodes
      } do
        [a, b, c, d] = nodes
        targets = call(a, :targets, [@many])
        watcher = watch(b, targets)
        living = call(a, :targets, [250]) ++ call(b, :targets, [250])
        bystanders = for node <- [c, d], do: {node, watch(node, living)}
        wait_until_subscribed(a, @many + 500)
        wait_until_held(a, targets)

        call(a, :kill, [targets])
        wait_until_down(b, watcher, @many)
        assert call(b, :downs, [watcher]) == Map.new(targets, &{{&1, :killed}, 1})
        assert_meshed(nodes)
        for {node, watcher} <- bystanders, do: assert(call(node, :received, [watcher]) == [])
      end

      test "waits for a node that does not read, and for no other", %{nodes: nodes} do
        [a, b, c, d] = nodes
        targets = call(a, :targets, [@many])
        watcher = watch(b, targets)
        # This subscribes as a node with version 2 does.
        plain = call(b, :watcher, [])
        version_2 = for target <- targets, do: {:subscribe, target}
        call(b, GenServer, :cast, [{ZenMonitor.Proxy, a.node}, {:process, plain, version_2}])
        [distant, near] = call(a, :targets, [2])
        living = call(a, :targets, [250])
        bystander = watch(c, [distant | living])
        local = watch(a, [near])
        wait_until_subscribed(a, 2 * @many + 252)
        wait_until_held(a, [distant, near | targets])

        Cluster.suspend(b)
        call(a, :fill, [b.node])
        call(a, :kill, [[distant, near]])
        call(a, :kill, [targets])
        wait_until(fn -> call(c, :downs, [bystander]) == %{{distant, :killed} => 1} end)
        wait_until(fn -> call(a, :downs, [local]) == %{{near, :killed} => 1} end)
        # Meanwhile, nothing has gone to the node that does not read.
        assert b.node in call(a, Node, :list, [])
        wait_until(fn -> call(a, :pending_certificates, []) == 2 * @many end)

        Cluster.resume(b)
        wait_until_down(b, watcher, @many)
        assert call(b, :downs, [watcher]) == Map.new(targets, &{{&1, :killed}, 1})

        certificates = fn ->
          for {:dead, node, certificates} <- call(b, :received, [plain]),
              node == a.node,
              certificate <- certificates,
              do: certificate
        end

        wait_until(fn -> length(certificates.()) >= @many end)
        assert Enum.sort(certificates.()) == Enum.sort(for pid <- targets, do: {pid, :killed})
        assert_meshed(nodes)
        refute Enum.any?(call(c, :downs, [bystander]), fn {{pid, _}, _} -> pid in living end)
        assert call(d, :pending_certificates, []) == 0
      end
    end
  end

  describe "a node that cuts another off" do
    @describetag carrier: :tcp

    setup :mesh

    test "has each monitor on a lost node fire, once, and no other; then all work again", %{
      nodes: nodes
    } do
      for [one, other | others] <- [nodes, Enum.reverse(nodes)] do
        placed = watch_each_other(nodes)
        true = call(one, :erlang, :disconnect_node, [other.node])
        wait_until(fn -> partitioned?(nodes) end)
        Cluster.mesh(nodes)
        wait_until(fn -> Enum.all?(nodes, &(fired(&1, placed) == expected(&1, placed))) end)
        assert other.node in nodes_lost(one, placed)
        assert one.node in nodes_lost(other, placed)

        # The others drop one of the two nodes, or both, but never each other.
        for node <- others do
          assert nodes_lost(node, placed) != []
          assert nodes_lost(node, placed) -- names([one, other]) == []
        end

        placed = watch_each_other(nodes)
        for {node, %{targets: targets}} <- placed, do: call(node, :kill, [targets])

        for {node, %{watcher: watcher, others: others}} <- placed do
          wait_until(fn ->
            call(node, :downs, [watcher]) == Map.new(others, &{{&1, :killed}, 1})
          end)
        end
      end
    end
  end

  # Whether the nodes form groups in which all are connected to all, without a connection between groups.
  defp partitioned?(nodes) do
    groups = for node <- nodes, do: Enum.sort([node.node | call(node, Node, :list, [])])
    sizes = Enum.frequencies(groups)
    map_size(sizes) > 1 and Enum.all?(sizes, fn {group, size} -> length(group) == size end)
  end

  # 50 processes on each, which all others watch.
  defp watch_each_other(nodes) do
    targets = for node <- nodes, do: {node, call(node, :targets, [50])}

    placed =
      for {node, own} <- targets, into: %{} do
        others = Enum.flat_map(targets, &elem(&1, 1)) -- own
        watcher = call(node, :watcher_of_nodes, [])
        call(node, :place_all, [watcher, others])
        {node, %{watcher: watcher, targets: own, others: others}}
      end

    for node <- nodes, do: wait_until_watched_by_all(node, placed[node].targets)
    placed
  end

  defp wait_until_watched_by_all(node, targets) do
    last = List.last(targets)
    wait_until(fn -> length(call(node, ZenMonitor, :info, [last]).watched_by) == 3 end)
    wait_until_held(node, targets)
  end

  # The nodes whose loss a node has noticed since.
  defp nodes_lost(node, placed) do
    lost = for {:nodedown, lost} <- call(node, :received, [placed[node].watcher]), do: lost
    lost |> Enum.uniq() |> Enum.sort()
  end

  defp fired(node, placed), do: call(node, :downs, [placed[node].watcher])

  defp expected(node, placed) do
    lost = nodes_lost(node, placed)
    for pid <- placed[node].others, node(pid) in lost, into: %{}, do: {{pid, :nodedown}, 1}
  end

  defp names(nodes), do: Enum.sort(for node <- nodes, do: node.node)

  defp mesh(%{carrier: carrier}) do
    env = [max_pending_certificates: @limit]
    nodes = for _ <- 1..4, do: Cluster.start_peer(flags: :default, carrier: carrier, env: env)
    # The log lines about lost connections are expected.
    for node <- nodes, do: call(node, Logger, :configure, [[level: :error]])
    [a | others] = nodes
    for other <- others, do: true = call(a, Node, :connect, [other.node])
    wait_until(fn -> Enum.all?(nodes, &(length(call(&1, Node, :list, [])) == 3)) end)
    on_exit(fn -> for node <- nodes, do: Cluster.resume(node) end)
    %{nodes: nodes}
  end

  defp assert_meshed(nodes) do
    for node <- nodes do
      assert Enum.sort([node.node | call(node, Node, :list, [])]) == names(nodes)
    end
  end

  defp watch(node, targets) do
    watcher = call(node, :watcher, [])
    call(node, :place_all, [watcher, targets])
    watcher
  end

  defp wait_until_subscribed(node, amount) do
    wait_until(fn -> call(node, :subscriptions, []) == amount end)
  end

  # A holder may place its monitors later than the Proxy counts the subscriptions.
  defp wait_until_held(node, targets), do: wait_until(fn -> call(node, :watched?, [targets]) end)

  # Delivery has a budget of 1,000 in each tenth of a second.
  defp wait_until_down(node, watcher, amount) do
    wait_until(fn -> map_size(call(node, :downs, [watcher])) == amount end)
  end

  defp call(node, function, args), do: call(node, PeerScript, function, args)
  defp call(node, module, function, args), do: Cluster.call(node, module, function, args, 60_000)
end
