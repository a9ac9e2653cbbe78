defmodule ZenMonitor.LocalTest do
  use ZenMonitor.Case

  alias ZenMonitor.Local
  alias ZenMonitor.Local.Dispatcher

  setup_all do
    %{peer: start_connected_peer()}
  end

  test "monitor/1 and demonitor/1,2 are those of ZenMonitor", %{peer: peer} do
    pid = on(peer, :target)
    [kept, removed, flushed] = for _ <- 1..3, do: Local.monitor(pid)
    assert Local.demonitor(removed) == true
    assert Local.demonitor(flushed, [:flush]) == true
    assert Local.demonitor(flushed, [:info]) == false
    wait_until_watched(pid)
    Process.exit(pid, :kill)
    assert downs([kept]) == %{kept => :killed}
    assert_raise ArgumentError, fn -> Local.monitor("pid") end
    assert_raise ArgumentError, fn -> Local.demonitor("ref") end
  end

  test "compatibility/1 and compatibility_for_node/1 are those of ZenMonitor", %{peer: peer} do
    assert Local.compatibility({:name, peer.node}) == :incompatible
    ZenMonitor.connect(peer.node)
    assert Local.compatibility({:name, peer.node}) == :compatible
    assert Local.compatibility_for_node(peer.node) == :compatible
    assert Local.compatibility_for_node(:nobody@nowhere) == :incompatible
  end

  describe "batch_length/0" do
    test "counts the :DOWN messages that wait", %{peer: peer} do
      pids = on(peer, :targets, [10])
      watch_all(pids ++ pids)
      ref = watch(PeerScript.target())
      assert Local.batch_length() == 0
      suspend_stage(Dispatcher)
      on(peer, :kill, [pids])
      wait_until(fn -> Local.batch_length() == 20 end)
      ZenMonitor.demonitor(ref)
      assert Local.batch_length() == 20
      resume_stage(Dispatcher)
      wait_until(fn -> Local.batch_length() == 0 end)
    end

    test "counts those of a dead node as soon as it is known to be dead" do
      peer = start_connected_peer()
      refs = watch_all(on(peer, :targets, [5_000]))
      # Nothing is expanded, and nothing is sent.
      :sys.suspend(Local)
      suspend_stage(Dispatcher)
      Cluster.disconnect(peer)
      wait_until(fn -> Local.batch_length() == 5_000 end)
      assert Metrics.get("zen_monitor.local.dispatcher.events.processed") == 0
      {removed, kept} = Enum.split(refs, 2_000)
      for ref <- removed, do: assert(ZenMonitor.demonitor(ref, [:info]))
      assert Local.batch_length() == 3_000
      :sys.resume(Local)
      resume_stage(Dispatcher)
      Dispatcher.demand_amount(5_000)
      assert kept |> downs() |> Map.values() |> Enum.uniq() == [:nodedown]
    end
  end

  describe "hibernation_threshold" do
    test "is 1,000" do
      assert Local.hibernation_threshold() == 1_000
    end

    test "can be changed" do
      assert Local.hibernation_threshold(0) == :ok
      assert Local.hibernation_threshold() == 0
      assert Application.get_env(:zen_monitor, :hibernation_threshold) == 0
    end
  end
end
