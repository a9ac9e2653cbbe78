defmodule ZenMonitor.TopTest do
  # `mix zen_monitor.top`, with real snapshots.
  use ZenMonitor.Case

  import ExUnit.CaptureIO

  alias Mix.Tasks.ZenMonitor.Top, as: Task
  alias Mix.ZenMonitor.Top

  test "one screen has rates, queues, and the busiest nodes and subscribers" do
    peer = start_connected_peer()
    PeerScript.named_watcher(:zen_top) |> PeerScript.place(on(peer, :target))
    before = Metrics.snapshot()
    watch_all(on(peer, :targets, [1_500]))
    [small, large] = for _ <- 1..2, do: ZenMonitor.Set.new()
    ZenMonitor.Set.put(small, List.duplicate(self(), 3))
    ZenMonitor.Set.put(large, [self(), :zen_top])
    wait_until(fn -> Metrics.get("zen_monitor.local.connector.sweep") >= 1_501 end)
    now = %{Metrics.snapshot() | time: before.time + 1_000}
    screen = to_string(Top.frame(before, now, 24, 120))

    assert screen =~ ~r/^ZenMonitor on #{node()}$/m
    assert screen =~ ~r/monitors +1,504 +placed +1,503\/s +removed +0\/s/
    assert screen =~ ~r/sets +2 +members +3 +the largest +2$/m
    assert screen =~ ~r/sent +1,50\d\/s/
    assert screen =~ ~r/^#{peer.node} +compatible +1,501 +1,501 +0$/m
    assert screen =~ ~r/^#PID<0\..*> +1,503 +0$/m
    assert screen =~ ~r/^#PID<0\..*> +:zen_top +1 +0$/m
  end

  test "a screen fits" do
    subscriber = %{pid: self(), name: nil, monitors: 1, waiting: 0}

    remote = %{
      node: :a@b,
      compatibility: :miss,
      targets: 1,
      monitors: 1,
      held: 0,
      instructions: 0
    }

    snapshot = Metrics.snapshot()

    for nodes <- [0, 3, 50], subscribers <- [0, 3, 50], lines <- [15, 24, 80] do
      now = %{
        snapshot
        | nodes: List.duplicate(remote, nodes),
          subscribers: List.duplicate(subscriber, subscribers)
      }

      shown = snapshot |> Top.frame(now, lines, 70) |> to_string() |> String.split("\n")
      assert length(shown) <= lines
      assert Enum.all?(shown, &(String.length(&1) <= 70))
    end
  end

  test "80 columns have room for all numbers" do
    remote = %{
      node: :"app@a-machine-with-a-long-name.example.com",
      compatibility: :incompatible,
      targets: 12_345_678,
      monitors: 23_456_789,
      held: 0,
      instructions: 34_567_890
    }

    subscriber = %{pid: self(), name: __MODULE__, monitors: 45_678_901, waiting: 56_789_012}
    snapshot = Metrics.snapshot()
    now = %{snapshot | nodes: [remote], subscribers: [subscriber]}
    screen = snapshot |> Top.frame(now, 24, 80) |> to_string()

    for end_of_line <- [
          ~r/removed +0\/s$/m,
          ~r/Proxy mailbox +\d+$/m,
          ~r/TO SEND$/m,
          ~r/WAITING$/m
        ] do
      assert screen =~ end_of_line
    end

    assert screen =~ ~r/^app@a-machine\S* incompatible +12,345,678 +23,456,789 +34,567,890$/m
    assert screen =~ ~r/^#PID<0\..*> ZenMonitor\.\S* +45,678,901 +56,789,012$/m
  end

  test "it looks at another node as often as it is told, over ordinary distribution" do
    peer = start_connected_peer()
    args = ["--node", "#{peer.node}", "--interval", "10", "--count", "2"]
    output = capture_io(fn -> Task.run(args) end)
    assert length(String.split(output, "ZenMonitor on #{peer.node}")) == 3
  end

  test "what it cannot do, it says" do
    stopped = start_connected_peer(application: false)

    for {args, message} <- [
          {[], "--node NAME"},
          {["--node", "a@b", "--what"], "--what"},
          {["--node", "nobody@127.0.0.1"], "could not connect to nobody@127.0.0.1"},
          {["--node", "#{stopped.node}"], "ZenMonitor is not started there"}
        ] do
      assert %Mix.Error{} = error = catch_error(Task.run(args))
      assert error.message =~ message
    end
  end
end
