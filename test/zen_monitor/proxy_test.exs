defmodule ZenMonitor.ProxyTest do
  use ExUnit.Case

  import ZenMonitor.Cluster, only: [wait_until: 1]

  alias ZenMonitor.{Cluster, Native, PeerScript, Proxy}
  alias ZenMonitor.Proxy.{Batcher, Tables}

  setup_all do
    Cluster.start_distribution()
  end

  setup do
    # The subscriptions of an earlier test end with its process.
    wait_until(fn -> subscriptions() == 0 end)
    Batcher.sweep_interval(1)
    on_exit(fn -> Batcher.sweep_interval(100) end)
  end

  test "answers a ping" do
    assert Proxy.ping() == :pong
    assert GenServer.call({ZenMonitor.Proxy, node()}, :ping) == :pong
  end

  describe "a subscription" do
    test "is answered by the reason of the exit" do
      target = target()
      process([{:subscribe, target}])
      exit_with(target, :done)
      assert certificates(1) == [{target, :done}]
    end

    test "is answered by :noproc when the process is dead already" do
      target = target()
      exit_with(target, :done)
      process([{:subscribe, target}])
      assert certificates(1) == [{target, :noproc}]
    end

    test "to one of a few that are dead already is answered without a holder" do
      have_holders(2)
      for holder <- Native.proxy_holders(), do: :erlang.suspend_process(holder)
      target = target()
      exit_with(target, :done)
      GenServer.cast(Proxy, {:process, self(), [{:subscribe, target}]})
      assert certificates(1) == [{target, :noproc}]
      assert subscriptions() == 0
      for holder <- Native.proxy_holders(), do: :erlang.resume_process(holder)
    end

    test "to what is dead already is answered by its reason, if that is under way for another" do
      have_holders(2)
      target = target()
      process([{:subscribe, target}], connector())
      for holder <- Native.proxy_holders(), do: :erlang.suspend_process(holder)
      exit_with(target, :done)
      GenServer.cast(Proxy, {:process, self(), [{:subscribe, target}]})
      Proxy.ping()
      refute_receive {:dead, _, _}, 50
      for holder <- Native.proxy_holders(), do: :erlang.resume_process(holder)
      assert certificates(1) == [{target, :done}]
    end

    test "comes back as it was asked for" do
      target = target()
      Process.register(target, :zen_named)
      names = [:zen_named, {:zen_named, node()}, {:zen_named, :nonode@nohost}]
      process(for destination <- [target | names], do: {:subscribe, destination})
      exit_with(target, :done)
      expected = for destination <- [target | names], do: {destination, :done}
      assert Enum.sort(certificates(4)) == Enum.sort(expected)
    end

    test "to a name that nobody has is answered by :noproc" do
      process([{:subscribe, :zen_nobody}, {:subscribe, {:zen_nobody, node()}}])
      expected = [{:zen_nobody, :noproc}, {{:zen_nobody, node()}, :noproc}]
      assert Enum.sort(certificates(2)) == expected
    end

    test "to what is not of this node is answered by :noproc" do
      # A pid of another node, as a pid of a former life of this node is, too.
      foreign = :erlang.binary_to_term(<<131, 88, 100, 0, 5, "a@b.c", 7::32, 0::32, 1::32>>)
      process([{:subscribe, foreign}, {:subscribe, {:zen_named, :a@b}}])
      process([{:unsubscribe, foreign}, {:unsubscribe, {:zen_named, :a@b}}])
      assert certificates(2) == [{foreign, :noproc}, {{:zen_named, :a@b}, :noproc}]
    end

    test "is consumed by its certificate" do
      target = target()
      Process.register(target, :zen_named)
      process([{:subscribe, :zen_named}])
      exit_with(target, :first)
      assert certificates(1) == [{:zen_named, :first}]
      successor = target()
      Process.register(successor, :zen_named)
      exit_with(successor, :second)
      refute_receive {:dead, _, _}, 50
    end

    test "of several connectors costs one monitor" do
      target = target()
      others = for _ <- 1..3, do: connector()
      for connector <- [self() | others], do: process([{:subscribe, target}], connector)
      process([{:subscribe, target}])
      assert monitors(target) == 1
      assert subscriptions() == 4
      exit_with(target, :done)
      assert certificates(1) == [{target, :done}]
      for other <- others, do: assert_receive({^other, {:dead, _, [{^target, :done}]}})
      refute_receive {:dead, _, _}, 20
    end

    test "has its reason truncated" do
      target = target()
      process([{:subscribe, target}])
      reason = {:crash, Enum.to_list(1..5), String.duplicate("x", 2_000)}
      exit_with(target, reason)
      assert [{^target, {:crash, :truncated, shortened}}] = certificates(1)
      assert byte_size(shortened) == 1_024
    end

    test "has a binary shortened in an error with its stack trace" do
      target = target()
      process([{:subscribe, target}])
      exit_with(target, {{:badmatch, String.duplicate("x", 2_000)}, [{Enum, :map, 2, []}]})
      assert [{^target, {{:badmatch, shortened}, [_]}}] = certificates(1)
      assert byte_size(shortened) == 1_024
    end

    test "of a process that shuts down has its reason whole, however large" do
      target = target()
      process([{:subscribe, target}])
      reason = {:shutdown, Enum.to_list(1..50_000)}
      exit_with(target, reason)
      assert certificates(1) == [{target, reason}]
    end

    test "outlives a call that outlived a former Proxy" do
      target = target()
      process([{:subscribe, target}])
      Native.proxy_certify_bulky(target, {:shutdown, {:of, :a, :former, :process}})
      Native.proxy_certify([[target | :of_a_former_process]], :none)
      exit_with(target, :done)
      assert certificates(1) == [{target, :done}]
    end

    test "in the older form" do
      targets = for _ <- 1..3, do: target()
      GenServer.cast(Proxy, {:subscribe, self(), targets})
      settle()
      for target <- targets, do: exit_with(target, :done)
      assert Enum.sort(certificates(3)) == Enum.sort(for target <- targets, do: {target, :done})
    end

    test "of thousands in one message" do
      targets = for _ <- 1..5_000, do: target()
      process(for target <- targets, do: {:subscribe, target})
      assert subscriptions() == 5_000
      wait_until(fn -> Enum.all?(targets, &(monitors(&1) == 1)) end)
      {gone, staying} = Enum.split(targets, 2_500)
      process(for target <- gone, do: {:unsubscribe, target})
      wait_until(fn -> Enum.all?(gone, &(monitors(&1) == 0)) end)
      for target <- targets, do: exit_with(target, :done)
      expected = for target <- staying, do: {target, :done}
      assert Enum.sort(certificates(2_500)) == Enum.sort(expected)
      refute_receive {:dead, _, _}, 20
    end
  end

  describe "exits that wait together" do
    # The Proxy is suspended, so that everything that a test sends waits until the test has sent all.
    setup do
      have_holders(1)
      targets = for _ <- 1..200, do: target()
      process(for target <- targets, do: {:subscribe, target})
      Proxy.ping()
      true = :erlang.suspend_process(Process.whereis(Proxy))
      %{targets: targets}
    end

    test "are told in their order, each with its reason", %{targets: targets} do
      large = Enum.to_list(1..10_000)

      reasons =
        for n <- 1..200 do
          case rem(n, 7) do
            0 -> {:shutdown, {n, large}}
            1 -> {:number, n}
            2 -> {:error, large}
            _ -> :same
          end
        end

      exits = Enum.zip(targets, reasons)
      for {target, reason} <- exits, do: exit_with(target, reason)
      :erlang.resume_process(Process.whereis(Proxy))

      expected =
        for {target, reason} <- exits do
          {target, if(match?({:error, _}, reason), do: {:error, :truncated}, else: reason)}
        end

      assert certificates(200) == expected
    end

    test "are not mixed up with what comes between them", %{targets: [first, second | others]} do
      name = :zen_monitor_between
      tag = make_ref()
      {last, some} = List.pop_at(others, -1)
      Process.register(last, name)
      {before, behind} = Enum.split(some, 100)
      exit_with(first, :first)
      send(Proxy, {:"$gen_call", {self(), tag}, :ping})
      for target <- before, do: exit_with(target, :before)
      GenServer.cast(Proxy, {:process, self(), [{:unsubscribe, second}, {:subscribe, name}]})
      exit_with(second, :second)
      send(Proxy, :nonsense)
      send(Proxy, {:"$gen_call", {self(), make_ref()}, :nonsense})
      task = Task.async(fn -> :sys.get_state(Proxy) end)
      wait_until(fn -> waiting(:system) == 1 end)
      for target <- behind, do: exit_with(target, :behind)
      exit_with(last, :last)
      ignored = Native.malformed_count()

      ExUnit.CaptureLog.capture_log(fn ->
        :erlang.resume_process(Process.whereis(Proxy))
        Task.await(task)
      end)

      assert_receive {^tag, :pong}
      expected = [{first, :first} | for(target <- before, do: {target, :before})]
      expected = expected ++ for(target <- behind, do: {target, :behind})
      assert certificates(200) == expected ++ [{last, :last}, {name, :noproc}]
      assert Native.malformed_count() == ignored + 2
      assert is_map(:sys.get_state(Proxy))
    end
  end

  describe "with four holders" do
    setup do
      have_holders(4)
      %{targets: for(_ <- 1..3_000, do: target())}
    end

    test "each has some of many processes, and all exits are told", %{targets: targets} do
      process(for target <- targets, do: {:subscribe, target})
      wait_until(fn -> Enum.all?(targets, &(monitors(&1) == 1)) end)

      holders =
        for target <- targets, uniq: true do
          {:monitored_by, [holder]} = Process.info(target, :monitored_by)
          holder
        end

      assert Enum.sort(holders) == Enum.sort(Native.proxy_holders())
      for target <- targets, do: send(target, {:exit, :done})
      expected = for target <- targets, do: {target, :done}
      assert Enum.sort(certificates(3_000)) == Enum.sort(expected)
    end

    # Lists of instructions follow each other faster than the holders carry them out, from two connectors.
    test "subscriptions end and begin anew in their order", %{targets: targets} do
      other = connector()

      wanted =
        for _ <- 1..20, reduce: %{} do
          wanted ->
            connector = Enum.random([self(), other])
            chosen = Enum.take_random(targets, 500)

            instructions =
              for target <- chosen ++ Enum.shuffle(chosen) do
                {Enum.random([:subscribe, :unsubscribe]), target}
              end

            GenServer.cast(Proxy, {:process, connector, instructions})

            for {verb, target} <- instructions, reduce: wanted do
              wanted -> Map.put(wanted, {connector, target}, verb == :subscribe)
            end
        end

      mine = for target <- targets, wanted[{self(), target}], do: target

      watched =
        for target <- targets, wanted[{self(), target}] || wanted[{other, target}], do: target

      wait_until(fn ->
        Enum.filter(targets, &(monitors(&1) == 1)) == watched and
          Enum.sum(Enum.map(targets, &monitors/1)) == length(watched)
      end)

      for target <- targets, do: send(target, {:exit, :done})
      assert Enum.sort(certificates(length(mine))) == Enum.sort(for t <- mine, do: {t, :done})
      wait_until(fn -> subscriptions() == 0 end)
      refute_receive {:dead, _, _}, 20
    end
  end

  describe "an unsubscription" do
    test "removes the monitor with the last subscriber" do
      target = target()
      other = connector()
      process([{:subscribe, target}])
      process([{:subscribe, target}], other)
      process([{:unsubscribe, target}])
      assert monitors(target) == 1
      process([{:unsubscribe, target}], other)
      assert monitors(target) == 0
      exit_with(target, :done)
      refute_receive {:dead, _, _}, 20
    end

    test "and a subscription take effect in order" do
      [a, b] = [target(), target()]
      process([{:subscribe, a}, {:unsubscribe, a}, {:subscribe, b}, {:unsubscribe, b}])
      assert {monitors(a), monitors(b), subscriptions()} == {0, 0, 0}
      process([{:subscribe, a}, {:unsubscribe, a}, {:subscribe, a}, {:unsubscribe, b}])
      process([{:unsubscribe, a}, {:subscribe, b}, {:subscribe, a}])
      assert {monitors(a), monitors(b), subscriptions()} == {1, 1, 2}
    end

    test "of what was never subscribed is fine" do
      process([{:unsubscribe, target()}, {:unsubscribe, :zen_nobody}])
      assert subscriptions() == 0
    end
  end

  describe "a connector that exits" do
    test "takes its subscriptions and its Batcher with it" do
      [shared, own] = [target(), target()]
      other = connector()
      process([{:subscribe, shared}])
      process([{:subscribe, shared}, {:subscribe, own}], other)
      batcher = Batcher.get(other)
      exit_with(other, :done)
      wait_until(fn -> subscriptions() == 1 and monitors(own) == 0 end)
      wait_until(fn -> not Process.alive?(batcher) end)
      assert monitors(shared) == 1
    end

    test "is swept up even if it exits while the janitor is about to rest" do
      # There are more rows than one call sweeps, so that the last call has no outbox to empty. And the janitor wakes the
      # Proxy, which leaves time for the exit. They are of names, whose monitors would be the Proxy's.
      [lonely | others] = for number <- 1..300, do: {:subscribe, :"zen_swept_#{number}"}
      standing = attach(others)

      for round <- 1..2_000 do
        [first, second] = [attach([lonely | others]), attach([hd(others)])]
        Native.proxy_detach(first)
        yield_until(fn -> subscriptions() < 600 end)
        for _ <- 1..rem(round, 50)//1, do: Native.batch_length()
        Native.proxy_detach(second)
        yield_until(fn -> subscriptions() == 299 end)
      end

      Native.proxy_detach(standing)
    end

    test "is not mistaken for one that was seen since" do
      target = target()
      process([{:subscribe, target}])
      batcher_down = {:batcher_down, self()}
      send(Proxy, {batcher_down, make_ref(), :process, target, {:shutdown, :connector_down}})
      Proxy.ping()
      exit_with(target, :done)
      assert certificates(1) == [{target, :done}]
    end
  end

  describe "a crash" do
    test "of the Proxy starts from nothing" do
      target = target()
      process([{:subscribe, target}])
      kill(Proxy)
      wait_until(fn -> subscriptions() == 0 and monitors(target) == 0 end)
      process([{:subscribe, target}])
      exit_with(target, :done)
      assert certificates(1) == [{target, :done}]
    end

    for name <- [Tables, Batcher.supervisor()] do
      test "of #{inspect(name)} loses nothing" do
        proxy = Process.whereis(Proxy)
        target = target()
        process([{:subscribe, target}])
        kill(unquote(name))
        exit_with(target, :done)
        assert certificates(1) == [{target, :done}]
        assert Process.whereis(Proxy) == proxy
      end
    end

    test "of Tables does not stop a sweep" do
      targets = for _ <- 1..2_000, do: target()
      other = connector()
      process(for(target <- targets, do: {:subscribe, target}), other)
      :sys.suspend(Tables)
      exit_with(other, :done)
      Proxy.ping()
      kill(Tables)
      wait_until(fn -> subscriptions() == 0 and Enum.all?(targets, &(monitors(&1) == 0)) end)
    end
  end

  describe "a remote connector" do
    setup do
      peer = Cluster.start_peer(application: false)
      connector = Cluster.call(peer, :erlang, :spawn, [:timer, :sleep, [:infinity]])
      {:ok, peer: peer, connector: connector}
    end

    test "gets certificates", %{peer: peer, connector: connector} do
      target = target()
      Cluster.connect(peer)
      cast_from(peer, connector, [{:subscribe, target}])
      exit_with(target, :done)
      wait_until(fn -> received(peer, connector) == [{:dead, node(), [{target, :done}]}] end)
    end

    test "is forgotten with its connection", %{peer: peer, connector: connector} do
      target = target()
      Cluster.connect(peer)
      cast_from(peer, connector, [{:subscribe, target}])
      batcher = Batcher.get(connector)
      Cluster.disconnect(peer)
      wait_until(fn -> subscriptions() == 0 and monitors(target) == 0 end)
      wait_until(fn -> not Process.alive?(batcher) end)
    end

    test "keeps what it subscribes to when it is back at once", context do
      %{peer: peer, connector: connector} = context
      targets = for _ <- 1..1_000, do: target()
      subscribe = for target <- targets, do: {:subscribe, target}
      Cluster.connect(peer)

      for _ <- 1..5 do
        cast_from(peer, connector, subscribe)
        # The Proxy must find the end of one connection and the start of the next in its mailbox.
        :sys.suspend(Proxy)
        Cluster.disconnect(peer)
        Cluster.connect(peer)

        Cluster.call(peer, :gen_server, :cast, [{Proxy, node()}, {:process, connector, subscribe}])

        :sys.resume(Proxy)
        assert Cluster.call(peer, GenServer, :call, [{Proxy, node()}, :ping]) == :pong
      end

      wait_until(fn -> subscriptions() == 1_000 end)
      for target <- targets, do: exit_with(target, :done)

      wait_until(fn ->
        certified = for {:dead, _, list} <- received(peer, connector), item <- list, do: item
        Enum.sort(certified) == Enum.sort(for target <- targets, do: {target, :done})
      end)
    end

    test "is not connected to again by a message that it left behind", context do
      %{peer: peer, connector: connector} = context
      target = target()

      # This stands for a message over a connection that is gone by the time that the message is read.
      process([{:subscribe, target}], connector)
      exit_with(target, :done)
      Process.sleep(50)
      assert peer.node not in Node.list(:connected)
      send(Proxy, {:nodedown, peer.node, []})
    end
  end

  test "works on a node without a name, and goes on when it gets one" do
    peer = Cluster.start_peer(application: false, distributed: false)
    {:ok, _} = Cluster.call(peer, Application, :ensure_all_started, [:zen_monitor])

    for name <- [:connector, :survivor, :early, :late] do
      pid = Cluster.call(peer, :erlang, :spawn, [:timer, :sleep, [:infinity]])
      true = Cluster.call(peer, :erlang, :register, [name, pid])
    end

    find = fn name -> Cluster.call(peer, :erlang, :whereis, [name]) end
    stop = fn name -> Cluster.call(peer, :erlang, :exit, [find.(name), :done]) end
    targets = [find.(:early), find.(:survivor), find.(:late), {:late, :nonode@nohost}]
    subscribe = for target <- targets, do: {:subscribe, target}
    process = fn list -> {:process, find.(:connector), list} end
    :ok = Cluster.call(peer, :gen_server, :cast, [Proxy, process.(subscribe)])
    assert Cluster.call(peer, Proxy, :ping, []) == :pong
    watched? = fn name -> Cluster.call(peer, PeerScript, :watched?, [find.(name)]) end
    wait_until(fn -> Enum.all?([:early, :survivor, :late], watched?) end)
    stop.(:early)
    wait_until(fn -> length(received(peer, find.(:connector))) == 1 end)

    name = :"zen_monitor_late_#{System.pid()}@127.0.0.1"
    {:ok, _} = Cluster.call(peer, Node, :start, [name, :longnames])
    unsubscribe = process.([{:unsubscribe, find.(:survivor)}])
    :ok = Cluster.call(peer, :gen_server, :cast, [Proxy, unsubscribe])
    assert Cluster.call(peer, Proxy, :ping, []) == :pong

    wait_until(fn ->
      by = Cluster.call(peer, Process, :info, [find.(:survivor), :monitored_by])
      by == {:monitored_by, []}
    end)

    late = find.(:late)
    stop.(:late)

    wait_until(fn ->
      certified = for {:dead, ^name, l} <- received(peer, find.(:connector)), item <- l, do: item
      Enum.sort(certified) == [{late, :done}, {{:late, :nonode@nohost}, :done}]
    end)
  end

  defp target, do: spawn(fn -> receive(do: ({:exit, reason} -> exit(reason))) end)

  # A connector that hands on what it gets.
  defp connector do
    test = self()

    spawn(fn ->
      Process.monitor(test)
      forward(test)
    end)
  end

  defp forward(test) do
    receive do
      {:exit, reason} ->
        exit(reason)

      {:DOWN, _, :process, ^test, _} ->
        :ok

      message ->
        send(test, {self(), message})
        forward(test)
    end
  end

  defp exit_with(pid, reason) do
    monitor = Process.monitor(pid)
    send(pid, {:exit, reason})
    assert_receive {:DOWN, ^monitor, _, _, _}
  end

  defp process(instructions, connector \\ self()) do
    GenServer.cast(Proxy, {:process, connector, instructions})
    settle()
  end

  # Until the Proxy and its holders have done what they have been told.
  defp settle do
    Proxy.ping()
    for holder <- Native.proxy_holders(), do: :sys.get_state(holder)
  end

  # Has the Proxy, which so begins anew, and that many processes hold the monitors until the end of the test.
  defp have_holders(amount) do
    restart = fn ->
      kill(Proxy)
      wait_until(fn -> ZenMonitor.connect(node()) == :compatible end)
    end

    Application.put_env(:zen_monitor, :proxy_holders, amount)
    restart.()

    on_exit(fn ->
      Application.delete_env(:zen_monitor, :proxy_holders)
      restart.()
    end)
  end

  # `wait_until/1` would sleep for longer than this takes to happen.
  defp yield_until(condition, deadline \\ ZenMonitor.now() + 20_000) do
    unless condition.() do
      assert ZenMonitor.now() < deadline, "the condition did not come to hold"
      :erlang.yield()
      yield_until(condition, deadline)
    end
  end

  # Does what the Proxy does for a new connector.
  defp attach(instructions) do
    native = Native.proxy_attach(self())
    process_native(native, instructions, [])
    native
  end

  defp process_native(_native, [], []), do: :ok

  defp process_native(native, instructions, monitors) do
    {rest, destinations, [], [], []} =
      Native.proxy_process(native, node(), instructions, monitors, 0)

    process_native(native, rest, for(_ <- destinations, do: make_ref()))
  end

  defp cast_from(peer, connector, instructions) do
    message = {:process, connector, instructions}
    Cluster.call(peer, :gen_server, :cast, [{Proxy, node()}, message])
    wait_until(fn -> subscriptions() == length(instructions) end)
    # The monitors are placed only after that.
    settle()
  end

  defp received(peer, pid) do
    {:messages, messages} = Cluster.call(peer, Process, :info, [pid, :messages])
    messages
  end

  defp certificates(0), do: []

  defp certificates(amount) do
    assert_receive {:dead, node, certificates} when node == node()
    certificates ++ certificates(amount - length(certificates))
  end

  defp monitors(pid) do
    {:monitored_by, by} = Process.info(pid, :monitored_by)
    Enum.count(by, &(&1 in [Process.whereis(Proxy) | Native.proxy_holders()]))
  end

  defp waiting(tag) do
    {:messages, messages} = Process.info(Process.whereis(Proxy), :messages)
    Enum.count(messages, &match?({^tag, _, _}, &1))
  end

  defp subscriptions, do: elem(Native.proxy_counters(), 0)

  defp kill(name) do
    pid = Process.whereis(name)
    Process.exit(pid, :kill)
    wait_until(fn -> Process.whereis(name) not in [pid, nil] end)
    # These are the last to be started, whichever process was killed.
    wait_until(fn -> Process.whereis(Tables) && Process.whereis(Proxy) end)
  end
end
