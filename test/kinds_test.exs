defmodule ZenMonitor.KindsTest do
  # What holds between two nodes holds for every kind of node, in both roles: with OTP's default flags, over
  # TLS, hidden, and with a name that it is given when it connects.
  use ExUnit.Case

  alias ZenMonitor.{Cluster, PeerScript}

  import ZenMonitor.Cluster, only: [wait_until: 1]

  @kinds [
    default: {[flags: :default], [flags: :default]},
    tls: {[carrier: :tls], [carrier: :tls]},
    hidden: {[hidden: true], []},
    both_hidden: {[hidden: true], [hidden: true]},
    dynamic: {[name: :dynamic], []}
  ]

  for {kind, options} <- @kinds, role <- [:watching, :watched] do
    describe "a node that is #{kind} and #{role}" do
      @describetag options: options, role: role

      setup :pair

      test "gets each exit once, with its reason", %{watching: a, watched: b} do
        targets = call(b, :targets, [1_000])
        watcher = watch(a, b, targets)
        [first | others] = targets
        call(b, :send_all, [[first], [{:exit, {:why, 1}}]])
        call(b, :kill, [others])
        expected = Map.new(others, &{{&1, :killed}, 1}) |> Map.put({first, {:why, 1}}, 1)
        wait_until(fn -> map_size(downs(a, watcher)) == 1_000 end)
        assert downs(a, watcher) == expected
      end

      test "knows names, and what is dead", %{watching: a, watched: b} do
        watcher = call(a, :watcher, [])
        named = call(b, :named_target, [:somebody])
        for name <- [:somebody, :nobody], do: call(a, :place, [watcher, {name, b.node}])
        dead = call(b, :dead_target, [])
        call(a, :place, [watcher, dead])
        nobody = [{dead, :noproc}, {{:nobody, b.node}, :noproc}]
        wait_until(fn -> all(a, watcher) == nobody end)
        wait_until(fn -> call(b, :watched?, [named]) end)
        call(b, :kill, [[named]])

        wait_until(fn ->
          all(a, watcher) == Enum.sort([{{:somebody, b.node}, :killed} | nobody])
        end)
      end

      test "is told nothing of what it has removed", %{watching: a, watched: b} do
        [kept, removed] = targets = call(b, :targets, [2])
        watcher = watch(a, b, targets)
        assert call(a, :remove, [watcher, removed])
        call(b, :kill, [[removed, kept]])
        wait_until(fn -> downs(a, watcher) != %{} end)
        Process.sleep(200)
        assert downs(a, watcher) == %{{kept, :killed} => 1}
      end

      test "hears of the loss of the connection, and goes on with the next", context do
        %{watching: a, watched: b} = context
        [target] = call(b, :targets, [1])
        # By its name, since a pid may be of another node once this one has lost its name.
        call(a, :named_watcher, [:zen_monitor_first])
        watch(a, b, [target], :zen_monitor_first)
        true = call(a, :erlang, :disconnect_node, [b.node])
        wait_until(fn -> downs(a, :zen_monitor_first) == %{{target, :nodedown} => 1} end)

        # A node that was given its name has lost it with the connection, and is another one now.
        unless context.options |> elem(0) |> Keyword.has_key?(:name) do
          connect(a, b)
          call(a, :named_watcher, [:zen_monitor_second])
          watch(a, b, [target], :zen_monitor_second)
          call(b, :kill, [[target]])
          wait_until(fn -> downs(a, :zen_monitor_second) == %{{target, :killed} => 1} end)
        end
      end

      test "hears of the loss of a Proxy, and of the node", %{watching: a, watched: b} do
        [first, second] = call(b, :targets, [2])
        watcher = watch(a, b, [first])
        call(b, :kill_name, [ZenMonitor.Proxy])
        wait_until(fn -> downs(a, watcher) == %{{first, :nodedown} => 1} end)

        # It counts as incompatible for 2 seconds then.
        wait_until(fn -> call(a, ZenMonitor, :connect, [b.node]) == :compatible end)
        call(a, :named_watcher, [:zen_monitor_last])
        watch(a, b, [second], :zen_monitor_last)
        Cluster.kill(b)
        wait_until(fn -> downs(a, :zen_monitor_last) == %{{second, :nodedown} => 1} end)
      end
    end
  end

  # The kind under test has the role, and connects: who is given a name has none until then.
  defp pair(%{options: {special, plain}, role: role}) do
    Process.flag(:trap_exit, true)
    [special, plain] = for options <- [special, plain], do: Cluster.start_peer(options)
    true = call(special, Node, :connect, [plain.node])
    special = Cluster.name(special)
    connect(special, plain)
    for node <- [special, plain], do: call(node, Logger, :configure, [[level: :error]])

    case role do
      :watching -> %{watching: special, watched: plain}
      :watched -> %{watching: plain, watched: special}
    end
  end

  defp connect(a, b) do
    wait_until(fn -> call(a, :net_kernel, :connect_node, [b.node]) end)
    wait_until(fn -> a.node in call(b, :erlang, :nodes, [:connected]) end)
  end

  defp watch(a, b, targets), do: watch(a, b, targets, call(a, :watcher, []))

  defp watch(a, b, targets, watcher) do
    call(a, :place_all, [watcher, targets])
    wait_until(fn -> call(b, :watched?, [List.last(targets)]) end)
    watcher
  end

  defp downs(node, watcher), do: call(node, :downs, [watcher])

  defp all(node, watcher) do
    Enum.sort(
      for {:DOWN, _, :process, object, {:zen_monitor, reason}} <-
            call(node, :received, [watcher]),
          do: {object, reason}
    )
  end

  defp call(node, function, args), do: call(node, PeerScript, function, args)
  defp call(node, module, function, args), do: Cluster.call(node, module, function, args, 60_000)
end
