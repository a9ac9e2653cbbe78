defmodule ZenMonitor.KindsTest do
  # What holds between two nodes holds for every kind of node, in both roles: with OTP's default flags, over
  # TLS, hidden, and with a name that it is given when it connects.
  use ExUnit.Case

  alias ZenMonitor.{Cluster, PeerScript}
  alias ZenMonitor.Local.Connectors

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
        [named, near] = for node <- [b, a], do: call(node, :named_target, [:somebody])
        dead = call(b, :dead_target, [])
        names = [:somebody, :nobody, {:somebody, b.node}, {:nobody, b.node}]
        call(a, :place_all, [watcher, [dead | names]])
        nobody = [{dead, :noproc}, {{:nobody, a.node}, :noproc}, {{:nobody, b.node}, :noproc}]
        wait_until(fn -> all(a, watcher) == Enum.sort(nobody) end)

        for {node, pid} <- [{b, named}, {a, near}],
            do: wait_until(fn -> call(node, :watched?, [pid]) end)

        call(b, :kill, [[named]])
        distant = [{{:somebody, b.node}, :killed} | nobody]
        wait_until(fn -> all(a, watcher) == Enum.sort(distant) end)
        call(a, :kill, [[near]])
        near = [{{:somebody, a.node}, :killed} | distant]
        wait_until(fn -> all(a, watcher) == Enum.sort(near) end)
      end

      test "is told nothing of what it has removed", %{watching: a, watched: b} do
        [kept, removed] = targets = call(b, :targets, [2])
        watcher = watch(a, b, targets)
        assert call(a, :remove, [watcher, removed])
        call(b, :kill, [[removed, kept]])
        wait_until(fn -> downs(a, watcher) != %{} end)
        Process.sleep(200)
        assert downs(a, watcher) == %{{kept, :killed} => 1}

        # The results are those of `Process.demonitor/2`.
        [target] = call(b, :targets, [1])
        options = [[], [:info], [:flush], [:flush, :info]]
        assert {[true, false, true], fired, false} = call(a, :removals, [target, options])

        assert fired == [
                 {[], true, true},
                 {[:info], false, true},
                 {[:flush], true, false},
                 {[:flush, :info], false, false}
               ]
      end

      test "tells each of many subscribers, by whichever Connector", %{watching: a, watched: b} do
        [target] = call(b, :targets, [1])
        crowd = call(a, :crowd, [500, target])
        wait_until(fn -> call(b, :watched?, [target]) end)
        [former] = connectors(a)
        call(a, :kill_children, [Connectors.supervisor()])
        wait_until(fn -> match?([pid] when pid != former, connectors(a)) end)

        # The successor has put the subscriptions into the outbox, so a monitor that is placed now is sent last.
        for connector <- connectors(a), do: call(a, :sys, :get_state, [connector])
        [last] = call(b, :targets, [1])
        crowd = crowd ++ call(a, :crowd, [500, target])
        watcher = watch(a, b, [last])
        call(b, :send_all, [[target, last], [{:exit, :told}]])
        wait_until(fn -> downs(a, watcher) == %{{last, :told} => 1} end)
        told = List.duplicate(%{{target, :told} => 1}, 1_000)
        wait_until(fn -> call(a, :crowd_downs, [crowd]) == told end)
      end

      test "hears of the loss of the connection, and goes on with the next", context do
        %{watching: a, watched: b} = context
        [target] = call(b, :targets, [1])

        # The watcher has a name, since its pid may belong to another node once this one has lost its own name.
        call(a, :named_watcher, [:zen_monitor_first])
        watch(a, b, [target], :zen_monitor_first)
        true = call(a, :erlang, :disconnect_node, [b.node])
        wait_until(fn -> downs(a, :zen_monitor_first) == %{{target, :nodedown} => 1} end)

        %{watching: a, watched: b} = connect_again(context)
        call(a, :named_watcher, [:zen_monitor_second])

        # A node that was given its name has lost it with the connection. Its former pids belong to a node that is
        # gone.
        again = if b.node == node(target), do: target, else: hd(call(b, :targets, [1]))
        watch(a, b, [again], :zen_monitor_second)
        # It may still have been watched for the lost connection.
        wait_until(fn -> call(b, :subscribed?, [again, a.node]) end)
        call(a, :place, [:zen_monitor_second, target])
        call(b, :kill, [[again]])
        reason = if again == target, do: :killed, else: :nodedown
        expected = Enum.frequencies([{again, :killed}, {target, reason}])
        wait_until(fn -> downs(a, :zen_monitor_second) == expected end)
        assert downs(a, :zen_monitor_first) == %{{target, :nodedown} => 1}
      end

      test "hears of the loss of a Proxy, and of the node", %{watching: a, watched: b} do
        [first, second] = call(b, :targets, [2])
        watcher = watch(a, b, [first])
        call(b, :kill_name, [ZenMonitor.Proxy])
        wait_until(fn -> downs(a, watcher) == %{{first, :nodedown} => 1} end)

        # The node counts as incompatible for 2 seconds.
        wait_until(fn -> call(a, ZenMonitor, :connect, [b.node]) == :compatible end)
        call(a, :named_watcher, [:zen_monitor_last])
        watch(a, b, [second], :zen_monitor_last)
        Cluster.kill(b)
        wait_until(fn -> downs(a, :zen_monitor_last) == %{{second, :nodedown} => 1} end)
      end
    end
  end

  test "TLS that verifies both ends carries monitors, and none to another authority" do
    [a, b] = for _ <- 1..2, do: peer(carrier: :verified_tls)
    connect(a, b)

    for {here, there} <- [{a, b}, {b, a}] do
      [exits, stays] = targets = call(there, :targets, [2])
      call(here, :named_watcher, [:zen_monitor_tls])
      watch(here, there, targets, :zen_monitor_tls)
      call(there, :send_all, [[exits], [{:exit, :told}]])
      wait_until(fn -> downs(here, :zen_monitor_tls) == %{{exits, :told} => 1} end)
      true = call(here, :erlang, :disconnect_node, [there.node])
      expected = %{{exits, :told} => 1, {stays, :nodedown} => 1}
      wait_until(fn -> downs(here, :zen_monitor_tls) == expected end)
      connect(here, there)
    end

    foreign = peer(carrier: :foreign_tls)

    for {one, other} <- [{a, foreign}, {foreign, a}] do
      refute call(one, Node, :connect, [other.node])
      watcher = call(one, :watcher, [])
      [target] = call(other, :targets, [1])
      call(one, :place, [watcher, target])
      wait_until(fn -> downs(one, watcher) == %{{target, :nodedown} => 1} end)
    end
  end

  # The node that gave the name gives the same name again, once it has noticed the loss.
  test "a node that is given its former name is another life of that node" do
    %{watching: a, watched: b} = pair(%{options: {[name: :dynamic], []}, role: :watched})
    [former] = call(b, :targets, [1])
    true = call(b, :erlang, :disconnect_node, [a.node])
    wait_until(fn -> call(b, :erlang, :node, []) == :nonode@nohost end)
    wait_until(fn -> call(a, :erlang, :nodes, [:connected]) == [] end)
    call(a, :sys, :get_state, [:net_kernel])
    wait_until(fn -> call(b, Node, :connect, [a.node]) == true end)
    assert Cluster.name(b).node == b.node
    connect(a, b)
    [target] = call(b, :targets, [1])
    watcher = call(a, :watcher, [])
    call(a, :place_all, [watcher, [former, target]])
    wait_until(fn -> call(b, :watched?, [target]) end)
    call(b, :kill, [[target]])
    expected = %{{former, :noproc} => 1, {target, :killed} => 1}
    wait_until(fn -> downs(a, watcher) == expected end)
  end

  # The node of the kind under test has the role, and it is the one that connects: a node that is given its name
  # has none before.
  defp pair(%{options: {special, plain}, role: role}) do
    Process.flag(:trap_exit, true)
    [special, plain] = for options <- [special, plain], do: peer(options)
    true = call(special, Node, :connect, [plain.node])
    special = Cluster.name(special)
    connect(special, plain)

    case role do
      :watching -> %{watching: special, watched: plain}
      :watched -> %{watching: plain, watched: special}
    end
  end

  defp peer(options) do
    peer = Cluster.start_peer(options)
    # The log lines about lost connections are expected.
    call(peer, Logger, :configure, [[level: :critical]])
    peer
  end

  # A node that was given its name has lost it with its last connection. The same node would give it the same
  # name again; another node gives it another name.
  defp connect_again(%{options: {[name: :dynamic], _}, role: role} = pair) do
    [plain_role] = [:watching, :watched] -- [role]
    %{^role => special, ^plain_role => plain} = pair
    wait_until(fn -> call(special, :erlang, :node, []) == :nonode@nohost end)
    true = call(special, Node, :connect, [peer([]).node])
    renamed = Cluster.name(special)
    assert renamed.node != special.node
    connect(renamed, plain)
    %{role => renamed, plain_role => plain}
  end

  defp connect_again(%{watching: a, watched: b} = pair) do
    connect(a, b)
    pair
  end

  defp connect(a, b) do
    wait_until(fn -> call(a, :net_kernel, :connect_node, [b.node]) end)
    wait_until(fn -> a.node in call(b, :erlang, :nodes, [:connected]) end)
  end

  defp watch(a, b, targets), do: watch(a, b, targets, call(a, :watcher, []))

  defp watch(a, b, targets, watcher) do
    call(a, :place_all, [watcher, targets])
    wait_until(fn -> call(b, :watched?, [targets]) end)
    watcher
  end

  defp connectors(node) do
    for {_, pid, _, _} <- call(node, :children, [Connectors.supervisor()]), do: pid
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
