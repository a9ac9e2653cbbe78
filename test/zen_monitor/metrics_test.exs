defmodule ZenMonitor.MetricsTest do
  use ZenMonitor.Case

  alias ZenMonitor.Local.{Connector, Dispatcher}
  alias ZenMonitor.TelemetryStandIn

  @names ~w(
    zen_monitor.local.monitor
    zen_monitor.local.demonitor
    zen_monitor.local.enqueue
    zen_monitor.local.batch_length
    zen_monitor.local.message_queue_len
    zen_monitor.local.ets.references.size
    zen_monitor.local.sets
    zen_monitor.local.sets.members
    zen_monitor.local.sets.largest
    zen_monitor.local.connector.enqueue
    zen_monitor.local.connector.sweep
    zen_monitor.local.held
    zen_monitor.local.dispatcher.events.delivered
    zen_monitor.local.dispatcher.events.processed
    zen_monitor.proxy.message_queue_len
    zen_monitor.proxy.ets.subscribers.size
    zen_monitor.proxy.batcher.enqueue
    zen_monitor.proxy.batcher.sweep
    zen_monitor.malformed
  )
  @native_memory "zen_monitor.native_memory"

  setup_all do
    %{peer: start_connected_peer()}
  end

  test "all/0 has every metric, at zero in the beginning" do
    assert {memory, metrics} = Map.pop!(Metrics.all(), @native_memory)
    assert memory > 0
    assert metrics == Map.new(@names, &{&1, 0})
  end

  test "get/1 has each of them" do
    for name <- @names, do: assert(is_integer(Metrics.get(name)))
  end

  test "get/1 raises for another name and lists those that there are" do
    error = assert_raise ArgumentError, fn -> Metrics.get("zen_monitor.what") end
    assert error.message =~ "zen_monitor.what"
    for name <- @names, do: assert(error.message =~ name)
  end

  test "the monitoring side counts what it does", %{peer: peer} do
    pids = on(peer, :targets, [10])
    refs = watch_all(pids ++ pids)

    # An instruction counts as swept once it is sent, and the other node may watch even before that.
    wait_until(fn -> Metrics.get("zen_monitor.local.connector.sweep") == 10 end)

    assert %{
             "zen_monitor.local.monitor" => 20,
             "zen_monitor.local.ets.references.size" => 20,
             "zen_monitor.local.connector.enqueue" => 10,
             "zen_monitor.local.connector.sweep" => 10,
             "zen_monitor.local.demonitor" => 0,
             "zen_monitor.local.enqueue" => 0
           } = Metrics.all()

    # The second monitor of the first target, and both of the second one.
    {first, second} = Enum.split(refs, 10)
    for ref <- [hd(second), Enum.at(first, 1), Enum.at(second, 1)], do: ZenMonitor.demonitor(ref)
    ZenMonitor.demonitor(make_ref())
    wait_until(fn -> not watched?(Enum.at(pids, 1)) end)
    wait_until(fn -> Metrics.get("zen_monitor.local.connector.sweep") == 11 end)

    assert %{
             "zen_monitor.local.monitor" => 20,
             "zen_monitor.local.demonitor" => 3,
             "zen_monitor.local.ets.references.size" => 17,
             "zen_monitor.local.connector.enqueue" => 11,
             "zen_monitor.local.connector.sweep" => 11
           } = Metrics.all()

    suspend_stage(Dispatcher)
    on(peer, :kill, [pids])
    wait_until(fn -> Metrics.get("zen_monitor.local.enqueue") == 17 end)
    assert Metrics.get("zen_monitor.local.batch_length") == 17
    assert Metrics.get("zen_monitor.local.dispatcher.events.processed") == 0
    ZenMonitor.demonitor(List.last(second))
    assert Metrics.get("zen_monitor.local.batch_length") == 16
    resume_stage(Dispatcher)
    # A delivery counts what it has sent, and then frees it.
    wait_until(fn -> standing() == 0 end)

    assert %{
             "zen_monitor.local.monitor" => 20,
             "zen_monitor.local.demonitor" => 4,
             "zen_monitor.local.enqueue" => 17,
             "zen_monitor.local.dispatcher.events.delivered" => 16,
             "zen_monitor.local.dispatcher.events.processed" => 17,
             "zen_monitor.local.ets.references.size" => 0
           } = Metrics.all()
  end

  test "the monitored side counts what it does" do
    pids = PeerScript.targets(10)
    GenServer.cast(ZenMonitor.Proxy, {:process, self(), for(pid <- pids, do: {:subscribe, pid})})
    wait_until(fn -> Metrics.get("zen_monitor.proxy.ets.subscribers.size") == 10 end)
    PeerScript.kill(pids)
    wait_until(fn -> Metrics.get("zen_monitor.proxy.batcher.sweep") == 10 end)
    assert Metrics.get("zen_monitor.proxy.batcher.enqueue") == 10
    assert Metrics.get("zen_monitor.proxy.ets.subscribers.size") == 0
  end

  test "the mailboxes are measured" do
    for {process, name} <- [
          {ZenMonitor.Local, "zen_monitor.local.message_queue_len"},
          {ZenMonitor.Proxy, "zen_monitor.proxy.message_queue_len"}
        ] do
      :sys.suspend(process)
      for _ <- 1..5, do: send(process, :noise)
      assert {name, Metrics.get(name)} == {name, 5}
      assert Metrics.message_queue_len(process) == 5
      :sys.resume(process)
      wait_until(fn -> Metrics.get(name) == 0 end)
    end
  end

  describe "message_queue_len/1" do
    test "takes a pid or a name" do
      pid = PeerScript.named_target(:zen_measured)
      for _ <- 1..3, do: send(pid, :noise)
      wait_until(fn -> Metrics.message_queue_len(pid) == 3 end)
      assert Metrics.message_queue_len(:zen_measured) == 3
    end

    test "is nil for what is not there" do
      assert Metrics.message_queue_len(:zen_unknown) == nil
      assert Metrics.message_queue_len(PeerScript.dead_target()) == nil
      assert Metrics.message_queue_len(nil) == nil
    end
  end

  test "the counters survive the processes, and start anew with the tree" do
    ref = ZenMonitor.monitor(PeerScript.dead_target())
    down(ref)
    PeerScript.kill_name(ZenMonitor.Local)
    PeerScript.kill_name(Dispatcher)
    kill(Connector.get(self()))
    assert Metrics.get("zen_monitor.local.monitor") == 1
    assert Metrics.get("zen_monitor.local.dispatcher.events.delivered") == 1
    restart()
    assert Metrics.get("zen_monitor.local.monitor") == 0
  end

  describe "without telemetry" do
    test "register/0 and measure/0 do nothing" do
      refute Code.ensure_loaded?(:telemetry) or Code.ensure_loaded?(:telemetry_poller)
      children = Supervisor.count_children(ZenMonitor.Supervisor)
      assert Metrics.register() == :ok
      assert Metrics.measure() == :ok
      assert Supervisor.count_children(ZenMonitor.Supervisor) == children
    end
  end

  describe "with telemetry" do
    setup do
      TelemetryStandIn.install()
    end

    test "measure/0 emits every metric" do
      ZenMonitor.monitor(PeerScript.target())
      assert Metrics.measure() == :ok

      for name <- @names do
        event = name |> String.split(".") |> Enum.map(&String.to_atom/1)
        assert_received {:telemetry, ^event, %{value: value} = measurements, %{}}
        assert map_size(measurements) == 1
        assert is_integer(value)
        if event == [:zen_monitor, :local, :monitor], do: assert(value == 1)
      end
    end

    test "register/0 has a poller call measure/0, and may be called again" do
      TelemetryStandIn.install(
        :telemetry_poller,
        quote do
          def child_spec(options) do
            send(:zen_telemetry, {:poller, options})
            %{id: :zen_fake_poller, start: {Agent, :start_link, [fn -> options end]}}
          end
        end
      )

      for _ <- 1..2, do: assert(Metrics.register() == :ok)
      assert_received {:poller, options}
      assert [{module, function, arguments}] = options[:measurements]
      assert is_integer(options[:period])
      apply(module, function, arguments)
      assert_received {:telemetry, [:zen_monitor, :local, :monitor], %{value: _}, %{}}

      children = Supervisor.which_children(ZenMonitor.Supervisor)
      assert {_, pid, _, _} = List.keyfind(children, :zen_fake_poller, 0)
      assert Process.alive?(pid)
    end
  end
end
