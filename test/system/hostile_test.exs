defmodule ZenMonitor.HostileTest do
  # What a broken or hostile node may send to the processes of this one.
  use ZenMonitor.Case

  import ExUnit.CaptureLog

  alias ZenMonitor.Local.{Connector, Connectors, Dispatcher}
  alias ZenMonitor.Proxy
  alias ZenMonitor.Proxy.Batcher

  @servers [
    ZenMonitor.Tables,
    ZenMonitor.Local,
    ZenMonitor.Local.Tables,
    Dispatcher,
    Connectors,
    Proxy,
    Proxy.Tables
  ]

  # A standing monitor in each direction, which must survive it all. The peer is a new one, because a
  # former one remembers for a while that the Proxy of this node went down.
  setup do
    peer = start_connected_peer()
    target = on(peer, :target)
    ref = watch(target)
    own = PeerScript.target()
    watcher = on(peer, :watcher)
    on(peer, :place, [watcher, own])
    wait_until_watched(own)
    %{peer: peer, target: target, ref: ref, own: own, watcher: watcher}
  end

  describe "garbage" do
    test "to any process is counted, reported once, and changes nothing", context do
      processes = processes(context.peer)
      before = ignored()

      log =
        capture_log(fn ->
          for process <- processes, message <- garbage() do
            send(process, message)
            GenServer.cast(process, message)
            send(process, {:"$gen_call", {self(), make_ref()}, message})
          end

          for process <- processes, do: :sys.get_state(process)
        end)

      assert ignored() - before == 3 * length(garbage()) * length(processes)
      assert [_, report] = String.split(log, "[warning] ")
      assert report =~ "malformed"
      assert byte_size(report) < 2_000
      assert processes(context.peer) == processes
      survived(context)
    end

    test "from another node is no different", %{peer: peer} = context do
      processes = processes(peer)
      before = ignored()
      on(peer, :send_all, [processes, garbage()])
      for process <- processes, do: :sys.get_state(process)
      assert ignored() - before == length(garbage()) * length(processes)
      assert processes(peer) == processes
      survived(context)
    end

    test "in place of the caller of a known call is ignored", context do
      before = ignored()

      calls = [
        {Proxy, :ping},
        {Proxy, {:batcher, self()}},
        {Connectors, {:get, ZenMonitor.Local}}
      ]

      calls = [{Connector.get_for_node(context.peer.node), :connect} | calls]
      processes = processes(context.peer)
      strangers = [:nobody, {:nobody, make_ref()}, [], {self()}]

      for {process, call} <- calls,
          from <- strangers,
          do: send(process, {:"$gen_call", from, call})

      for {process, _} <- calls, do: :sys.get_state(process)
      assert ignored() - before == length(calls) * length(strangers)
      assert processes(context.peer) == processes
      survived(context)
    end

    # These are OTP's own, and a call that they do not know ends them.
    test "that ends a supervisor costs no monitor", context do
      for supervisor <- [
            Connectors.supervisor(),
            Batcher.supervisor(),
            ZenMonitor.Local.Supervisor
          ] do
        former = Process.whereis(supervisor)
        send(supervisor, {:"$gen_call", {self(), make_ref()}, :nonsense})
        wait_until(fn -> Process.whereis(supervisor) not in [nil, former] end)
      end

      wait_until(fn -> Process.whereis(ZenMonitor.Local.Tables) end)
      survived(context)
    end

    test "is reported again after an interval, with how much it was" do
      Application.put_env(:zen_monitor, :report_interval, 60_000)
      log = capture_log(fn -> for _ <- 1..1_000, do: nonsense(Proxy) end)
      assert [_, _] = String.split(log, "[warning] ")

      log =
        capture_log(fn ->
          Application.put_env(:zen_monitor, :report_interval, 1)
          Process.sleep(2)
          nonsense(Dispatcher)
        end)

      assert log =~ "ZenMonitor.Local.Dispatcher ignored :nonsense. 1000 malformed"
    end
  end

  describe "a batch of instructions" do
    test "has its good ones carried out, whatever is among them", %{peer: peer} = context do
      connector = on(peer, :watcher)
      targets = for _ <- 1..3, do: PeerScript.target()
      [first, second, third] = targets

      # More than one native call handles.
      bad = List.duplicate({:subscribe, 1}, 1_000)

      instructions = [
        {:subscribe, first},
        {:subscribe, String.duplicate("name", 250_000)},
        {:subscribe, List.duplicate(:name, 1_000)},
        {:subscribe, {first, node()}},
        {:subscribe, {:name, "node"}},
        {:subscribe},
        {:what, first},
        {:subscribe, second},
        [{:subscribe, first} | :improper],
        {:unsubscribe, 1.5},
        :nonsense,
        {:subscribe, third} | bad ++ :improper
      ]

      before = ignored()
      on(peer, :send_all, [[{Proxy, node()}], [cast({:process, connector, instructions})]])
      wait_until(fn -> Enum.all?(targets, &watched?/1) end)
      # A holder may watch the good ones before the Proxy is through with the others.
      Proxy.ping()
      assert ignored() - before == 1_010
      for target <- targets, do: Process.exit(target, :kill)
      wait_until(fn -> length(certified(peer, connector)) == 3 end)

      assert Enum.sort(certified(peer, connector)) ==
               Enum.sort(for t <- targets, do: {t, :killed})

      survived(context)
    end

    test "for another node's processes is answered by :noproc", %{peer: peer} = context do
      connector = on(peer, :watcher)
      third = on(peer, :target)
      instructions = [{:subscribe, third}, {:subscribe, {:name, :third@node}}]
      GenServer.cast(Proxy, {:process, connector, instructions})
      expected = [{third, :noproc}, {{:name, :third@node}, :noproc}]
      wait_until(fn -> Enum.sort(certified(peer, connector)) == Enum.sort(expected) end)
      survived(context)
    end

    test "of a connector on a node that is not connected is left alone", context do
      stranger = :erlang.binary_to_term(<<131, 88, 100, 0, 5, "a@b.c", 7::32, 0::32, 1::32>>)
      before = Native.sizes()
      GenServer.cast(Proxy, {:process, stranger, [{:subscribe, self()}]})
      Proxy.ping()
      assert Native.sizes() == before
      survived(context)
    end

    test "that is no list, or of the older form, does no harm", %{peer: peer} = context do
      connector = on(peer, :watcher)
      before = ignored()
      GenServer.cast(Proxy, {:process, connector, :nothing})
      GenServer.cast(Proxy, {:process, connector, %{}})
      GenServer.cast(Proxy, {:subscribe, connector, [1, self() | :improper]})
      GenServer.cast(Proxy, {:process, "connector", []})
      Proxy.ping()
      assert ignored() - before == 5
      survived(context)
    end
  end

  describe "a batch of certificates" do
    test "has its good ones carried out, whatever is among them", %{peer: peer} = context do
      [first, second, standing] = on(peer, :targets, [3])
      [first_ref, second_ref, standing_ref] = watch_all([first, second, standing])

      certificates = [
        {first, :certified},
        # A certificate without a subscription.
        {on(peer, :target), :certified},
        {:name, :certified},
        # These are no certificates.
        {first},
        {"name", :certified},
        {String.duplicate("name", 250_000), :certified},
        {self(), :certified, :twice},
        :nonsense,
        [standing],
        {second, List.duplicate(:certified, 1_000)} | :improper
      ]

      before = ignored()
      connector = Connector.get_for_node(peer.node)

      on(peer, :send_all, [
        [connector],
        [{:dead, peer.node, certificates}, {:dead, peer.node, :no}]
      ])

      assert reason(first_ref) == :certified
      assert reason(second_ref) == List.duplicate(:certified, 1_000)
      wait_until(fn -> ignored() - before == 8 end)
      refute_received {:DOWN, ^standing_ref, _, _, _}
      assert Connector.get_for_node(peer.node) == connector
      survived(context)
    end

    test "for the processes of another node fires nothing", context do
      %{peer: peer, target: target} = context
      other = start_connected_peer()
      distant = on(other, :target)
      ref = watch(distant)
      before = ignored()
      # Each node certifies a process of the other node.
      send(Connector.get_for_node(peer.node), {:dead, peer.node, [{distant, :forged}]})
      send(Connector.get_for_node(other.node), {:dead, other.node, [{target, :forged}]})
      wait_until(fn -> ignored() - before == 2 end)
      Process.exit(distant, :kill)
      assert reason(ref) == :killed
      survived(context)
    end
  end

  # Both monitors still stand, and both fire as they should.
  defp survived(%{peer: peer, target: target, ref: ref, own: own, watcher: watcher}) do
    wait_until(fn -> watched?(target) and watched?(own) end)
    refute_received {:DOWN, ^ref, _, _, _}
    assert on(peer, :received, [watcher]) == []
    Process.exit(target, :kill)
    assert reason(ref) == :killed
    Process.exit(own, :kill)

    wait_until(fn -> match?([_ | _], on(peer, :received, [watcher])) end)
    assert [{:DOWN, _, :process, ^own, {:zen_monitor, :killed}}] = on(peer, :received, [watcher])
  end

  # All that answer to messages, but for the supervisors.
  defp processes(peer) do
    connectors = for node <- [node(), peer.node], do: Connector.get_for_node(node)

    batchers =
      for {_, pid, _, _} <- DynamicSupervisor.which_children(Batcher.supervisor()), do: pid

    Enum.map(@servers, &Process.whereis/1) ++ connectors ++ Enum.sort(batchers)
  end

  defp garbage do
    [
      :nonsense,
      nil,
      "text",
      String.duplicate("long", 250_000),
      1 |> Bitwise.bsl(100_000),
      [1 | 2],
      Enum.to_list(1..10_000),
      Map.new(1..1_000, &{&1, &1}),
      Enum.reduce(1..10_000, [], fn _, nested -> {nested} end),
      {:dead, :certificates},
      {:process, :no_pid, []},
      {:subscribe, "pid", []},
      {:get},
      {:start, "node"},
      {:DOWN, :no, :such},
      %ArgumentError{message: {:not, :a, :message}},
      Process.whereis(Proxy)
    ]
  end

  defp cast(message), do: {:"$gen_cast", message}

  defp nonsense(name) do
    send(name, :nonsense)
    :sys.get_state(name)
  end

  defp certified(peer, connector) do
    for {:dead, _, certificates} <- on(peer, :received, [connector]), c <- certificates, do: c
  end

  defp ignored, do: Metrics.get("zen_monitor.malformed")
end
