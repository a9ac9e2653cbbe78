defmodule Bench.Scenarios.Blip do
  @moduledoc false
  # The connection to a node with many monitored processes is lost for a moment, with default settings. What does
  # that cost with a `nodedown_grace`? And what without one, when each subscriber monitors anew what has fired, once
  # the node is back?

  @behaviour Bench.Scenario

  alias Bench.{Options, Pair, Report, Statistics, Targets, Waiting}
  alias ZenMonitor.Local.Connector

  @graces [5_000, 0]
  @blip 300
  @subscribers 100

  @impl true
  def run(options) do
    each = max(1, div(Options.scale(options, 100_000), @subscribers))
    pairs = for grace <- @graces, do: {grace, start(options, grace, each)}

    samples =
      for _ <- 1..options.rounds, {grace, {pair, group}} <- pairs do
        {grace, round(pair, group, @subscribers * each)}
      end

    long = Map.new(pairs, fn {grace, {pair, group}} -> {grace, stop(pair, group)} end)

    %Report{
      title:
        "the connection to #{@subscribers * each} monitored processes is lost for #{@blip} ms",
      rows: [
        row("messages to the subscribers", "messages", :messages, samples, {:at_most, 0}),
        row("CPU of both nodes", "ms", :cpu, samples, {:ratio, 0.5}),
        row("CPU of the watching node", "ms", :local, samples, nil),
        row("CPU of the watched node", "ms", :remote, samples, nil),
        row("from the loss until all is watched again", "s", :wall, samples, nil),
        Report.row("5 ms or more on a scheduler", "times", long[5_000], no_grace(long[0]), nil)
      ]
    }
  end

  defp row(name, unit, figure, samples, target) do
    [with_grace, without] =
      for grace <- @graces do
        Statistics.median(for {^grace, sample} <- samples, do: sample[figure])
      end

    Report.row(name, unit, with_grace, no_grace(without), target)
  end

  defp no_grace(value), do: [{"no grace", value}]

  defp start(options, grace, each) do
    pair = Pair.start(:zen_monitor, options, settings: :default)
    Pair.local(pair, ZenMonitor, :nodedown_grace, [grace])
    Pair.remote(pair, Targets, :add, [@subscribers * each])
    group = Pair.local(pair, __MODULE__, :subscribe, [pair.remote.node, each])
    await_watched(pair, @subscribers * each)
    {pair, group}
  end

  defp round(pair, {_pids, messages}, size) do
    before = Pair.local(pair, :counters, :get, [messages, 1])

    cost =
      Pair.measure(pair, fn ->
        began = System.monotonic_time(:millisecond)
        Pair.local(pair, Node, :disconnect, [pair.remote.node])
        Process.sleep(@blip)
        Pair.connect(pair)
        await_watched(pair, size)
        System.monotonic_time(:millisecond) - began
      end)

    %{
      messages: Pair.local(pair, :counters, :get, [messages, 1]) - before,
      local: cost.local / 1_000,
      remote: cost.remote / 1_000,
      cpu: (cost.local + cost.remote) / 1_000,
      wall: cost.result / 1_000
    }
  end

  # Each process has one monitor, and so one subscription.
  defp await_watched(pair, size) do
    Waiting.until(fn -> Pair.local(pair, __MODULE__, :standing, []) == size end, 30_000)
    Waiting.until(fn -> Pair.remote(pair, __MODULE__, :watched, []) == size end, 30_000)
  end

  @doc "How many monitors of this node are neither held nor waiting for delivery."
  @spec standing() :: integer
  def standing do
    [all, held, waiting] =
      for name <- ["ets.references.size", "held", "batch_length"],
          do: ZenMonitor.Metrics.get("zen_monitor.local." <> name)

    all - held - waiting
  end

  @doc "The subscriptions of other nodes to processes of this one."
  @spec watched() :: non_neg_integer
  def watched, do: ZenMonitor.Metrics.get("zen_monitor.proxy.ets.subscribers.size")

  @doc """
  Starts subscribers of so many processes each, which monitor anew what has fired when its node is connected.
  Returns them, and what counts the messages. Runs in the VM of the local node.
  """
  @spec subscribe(node, pos_integer) :: {[pid], :counters.counters_ref()}
  def subscribe(remote, each) do
    Connector.chunk_size(1_000_000)
    messages = :counters.new(1, [])
    owner = self()
    targets = :erpc.call(remote, Targets, :slice, [0, @subscribers * each])

    pids =
      for pids <- Enum.chunk_every(targets, each) do
        spawn(fn ->
          :net_kernel.monitor_nodes(true)
          Enum.each(pids, &ZenMonitor.monitor/1)
          send(owner, {:placed, self()})
          serve(remote, messages, [])
        end)
      end

    for pid <- pids, do: receive(do: ({:placed, ^pid} -> :ok))
    Waiting.until(fn -> :erpc.call(remote, __MODULE__, :watched, []) == @subscribers * each end)
    Connector.chunk_size(5_000)
    {pids, messages}
  end

  defp serve(remote, messages, lost) do
    receive do
      {:DOWN, _ref, :process, pid, {:zen_monitor, _reason}} ->
        :counters.add(messages, 1, 1)

        if remote in Node.list(),
          do: again([pid], remote, messages, lost),
          else: serve(remote, messages, [pid | lost])

      {:nodeup, ^remote} ->
        again(lost, remote, messages, [])

      {_change, _node} ->
        serve(remote, messages, lost)
    end
  end

  defp again(pids, remote, messages, lost) do
    Enum.each(pids, &ZenMonitor.monitor/1)
    serve(remote, messages, lost)
  end

  defp stop(pair, {pids, _messages}) do
    Pair.local(pair, Enum, :each, [pids, &Process.exit(&1, :kill)])
    length(for {_, true, _} = ours <- Pair.stop(pair), do: ours)
  end
end
