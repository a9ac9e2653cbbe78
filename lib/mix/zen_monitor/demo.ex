defmodule Mix.ZenMonitor.Demo do
  @moduledoc false
  # The demonstration in the terminal: this node watches processes on another, and they exit.

  alias Mix.ZenMonitor.Demo.Remote
  alias ZenMonitor.Local.Dispatcher
  alias ZenMonitor.Proxy.Batcher

  @paced 10_000

  def run(count) do
    node = start_node()
    IO.puts("This is #{node()}, and #{node} is #{ZenMonitor.connect(node)}.\n")

    alone(node)
    storm(node, count)
    interlacing(node, min(count, @paced))
    node_death(node, count)
  end

  @doc "Makes this VM a node, unless it is one."
  def start_distribution do
    unless Node.alive?() do
      # A VM that becomes a node after its start expects a running epmd.
      {_, 0} = System.cmd("epmd", ["-daemon"])
      {:ok, _} = Node.start(:"zen_monitor_demo_#{System.pid()}@127.0.0.1", :longnames)
    end

    :ok
  end

  @doc "Starts another node on this machine, with ZenMonitor running on it."
  def start_node do
    host = node() |> Atom.to_string() |> String.split("@") |> List.last()

    {:ok, _, node} =
      :peer.start(%{
        name: :peer.random_name(~c"zen_monitor_demo"),
        host: String.to_charlist(host),
        longnames: :net_kernel.longnames(),
        args: [~c"-setcookie", Atom.to_charlist(Node.get_cookie()), ~c"-pa" | :code.get_path()]
      })

    {:ok, _} = :erpc.call(node, Application, :ensure_all_started, [:zen_monitor])
    node
  end

  defp alone(node) do
    IO.puts("One process exits, and nothing else is going on:")
    [pid] = remote(node, :spawn_idle, [1])
    ref = ZenMonitor.monitor(pid)
    await_watched(node, [pid])
    Process.sleep(500)

    {time, _} = :timer.tc(fn -> kill_and_wait(node, pid, ref) end)
    IO.puts("  from the call that kills it to its :DOWN: #{milliseconds(time)}.\n")
  end

  defp storm(node, count) do
    {pids, refs} = monitor_many(node, count)
    [friend] = remote(node, :spawn_idle, [1])

    other =
      Task.async(fn ->
        ref = ZenMonitor.monitor(friend)
        receive do: (:go -> :ok)
        {time, _} = :timer.tc(fn -> kill_and_wait(node, friend, ref) end)
        time
      end)

    await_watched(node, [friend | pids])
    budget = round(Dispatcher.maximum_mps())
    IO.puts("All of them are killed. The budget is #{number(budget)} messages a second:")
    # By then all the news is here, and most of it waits for the budget.
    Process.send_after(other.pid, :go, transit(Batcher, count))
    collect(refs, fn -> remote(node, :kill, [pids]) end)

    IO.puts(
      "  Another process watched one that was killed in the midst of this: " <>
        "#{milliseconds(Task.await(other, :infinity))} to its :DOWN.\n"
    )
  end

  # A process with other work to do: a message a millisecond.
  defp interlacing(node, count) do
    IO.puts(
      "#{number(count)} are killed while their watcher gets a message of another kind each ms:"
    )

    for {slices, pacing} <- [{1, "with pacing: 1, as in version 2"}, {false, "by default"}] do
      Dispatcher.pacing(slices)
      pids = remote(node, :spawn_idle, [count])
      for pid <- pids, do: ZenMonitor.monitor(pid)
      await_watched(node, pids)
      {:ok, ticks} = :timer.send_interval(1, :work)
      remote(node, :kill, [pids])
      IO.puts("  #{pacing}, the longest run of :DOWN messages is #{longest_run(count, 0, 0)}.")
      :timer.cancel(ticks)
    end

    IO.puts("")
    Dispatcher.pacing(false)
  end

  defp longest_run(0, run, longest), do: max(run, longest)

  defp longest_run(left, run, longest) do
    receive do
      :work -> longest_run(left, 0, max(run, longest))
      {:DOWN, _, :process, _, {:zen_monitor, _}} -> longest_run(left - 1, run + 1, longest)
    end
  end

  defp node_death(node, count) do
    {pids, refs} = monitor_many(node, count)
    amount = Dispatcher.demand_amount()
    Dispatcher.demand_amount(count)
    await_watched(node, pids)
    IO.puts("The node goes down, with the budget raised:")
    collect(refs, fn -> :erpc.cast(node, :erlang, :halt, []) end)
    Dispatcher.demand_amount(amount)
  end

  defp monitor_many(node, count) do
    pids = remote(node, :spawn_idle, [count])
    {time, refs} = :timer.tc(fn -> Enum.map(pids, &ZenMonitor.monitor/1) end)

    IO.puts(
      "#{number(count)} processes on the other node are monitored, " <>
        "in #{Float.round(time / count, 2)} µs each."
    )

    {pids, refs}
  end

  # Takes each reference off once, so that a second message for it would not count.
  defp collect(refs, cause) do
    started = now()
    cause.()
    {left, reasons} = collect(Map.new(refs, &{&1, true}), %{}, started, started + 1_000_000)
    total = reasons |> Map.values() |> Enum.sum()

    IO.puts(
      "  #{number(total)} :DOWN messages in #{milliseconds(now() - started)}, " <>
        "#{number(map_size(left))} missing; reasons: #{inspect(reasons)}."
    )
  end

  defp collect(left, reasons, started, report) do
    if now() >= report do
      received = reasons |> Map.values() |> Enum.sum()
      IO.puts("  after #{div(report - started, 1_000_000)} s: #{number(received)}")
      collect(left, reasons, started, report + 1_000_000)
    else
      receive do
        {:DOWN, ref, :process, _, {:zen_monitor, reason}} when is_map_key(left, ref) ->
          left = Map.delete(left, ref)
          reasons = Map.update(reasons, reason, 1, &(&1 + 1))

          if map_size(left) == 0,
            do: {left, reasons},
            else: collect(left, reasons, started, report)
      after
        5_000 -> {left, reasons}
      end
    end
  end

  defp kill_and_wait(node, pid, ref) do
    remote(node, :kill, [[pid]])

    receive do
      {:DOWN, ^ref, :process, ^pid, {:zen_monitor, :killed}} -> :ok
    end
  end

  # The news travels in chunks, one in an interval.
  defp transit(module, count), do: div(count, module.chunk_size()) * module.sweep_interval() + 500

  # Who is killed before, is reported as `:noproc`.
  defp await_watched(node, pids) do
    unless remote(node, :watched?, [pids]) do
      Process.sleep(100)
      await_watched(node, pids)
    end
  end

  defp remote(node, function, arguments), do: :erpc.call(node, Remote, function, arguments)

  defp now, do: System.monotonic_time(:microsecond)

  defp milliseconds(microseconds) when microseconds < 100_000,
    do: "#{Float.round(microseconds / 1000, 1)} ms"

  defp milliseconds(microseconds), do: "#{number(round(microseconds / 1000))} ms"

  @doc "A whole number with its thousands apart."
  def number(number) do
    number
    |> Integer.to_string()
    |> String.replace(~r/\B(?=(\d{3})+$)/, ",")
  end
end
