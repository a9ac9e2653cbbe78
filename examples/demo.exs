# Two real nodes: this one watches 100,000 processes on the other, then they exit all at once.
#
#     mix run examples/demo.exs

code =
  defmodule Demo.Remote do
    # Runs on the other node.

    def spawn_idle(count) do
      for _ <- 1..count, do: spawn(fn -> Process.sleep(:infinity) end)
    end

    def kill(pids), do: Enum.each(pids, &Process.exit(&1, :kill))
  end

defmodule Demo do
  alias Demo.Remote
  alias ZenMonitor.Local.{Connector, Dispatcher}
  alias ZenMonitor.Proxy.Batcher

  @count 100_000
  @paced 10_000

  def run(code) do
    node = start_nodes(code)
    IO.puts("This is #{node()}, and #{node} is #{ZenMonitor.connect(node)}.\n")

    alone(node)
    storm(node)
    interlacing(node)
    node_death(node)
  end

  defp alone(node) do
    IO.puts("One process exits, and nothing else is going on:")
    [pid] = remote(node, :spawn_idle, [1])
    ref = ZenMonitor.monitor(pid)
    Process.sleep(500)

    {time, _} = time(fn -> kill_and_wait(node, pid, ref) end)
    IO.puts("  from the call that kills it to its :DOWN: #{milliseconds(time)}.\n")
  end

  defp storm(node) do
    {pids, refs} = monitor_many(node)
    [friend] = remote(node, :spawn_idle, [1])

    other =
      Task.async(fn ->
        ref = ZenMonitor.monitor(friend)
        receive do: (:go -> :ok)
        {time, _} = time(fn -> kill_and_wait(node, friend, ref) end)
        time
      end)

    let_through(Connector)
    budget = round(Dispatcher.maximum_mps())
    IO.puts("All of them are killed. The budget is #{number(budget)} messages a second:")
    # By then all the news is here, and most of it waits for the budget.
    Process.send_after(other.pid, :go, transit(Batcher))
    collect(refs, fn -> remote(node, :kill, [pids]) end)

    IO.puts(
      "  Another process watched one that was killed in the midst of this: " <>
        "#{milliseconds(Task.await(other))} to its :DOWN.\n"
    )
  end

  # A process with other work to do: a message a millisecond.
  defp interlacing(node) do
    IO.puts(
      "#{number(@paced)} are killed while their watcher gets a message of another kind each ms:"
    )

    for {slices, pacing} <- [{false, "without pacing"}, {20, "with pacing: 20"}] do
      Dispatcher.pacing(slices)
      pids = remote(node, :spawn_idle, [@paced])
      for pid <- pids, do: ZenMonitor.monitor(pid)
      let_through(Connector)
      {:ok, ticks} = :timer.send_interval(1, :work)
      remote(node, :kill, [pids])
      IO.puts("  #{pacing}, the longest run of :DOWN messages is #{longest_run(@paced, 0, 0)}.")
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

  defp node_death(node) do
    {_, refs} = monitor_many(node)
    Dispatcher.demand_amount(@count)
    let_through(Connector)
    IO.puts("The node goes down, with the budget raised:")
    collect(refs, fn -> :erpc.cast(node, :erlang, :halt, []) end)
  end

  defp monitor_many(node) do
    pids = remote(node, :spawn_idle, [@count])
    {time, refs} = time(fn -> Enum.map(pids, &ZenMonitor.monitor/1) end)

    IO.puts(
      "#{number(@count)} processes on the other node are monitored, " <>
        "in #{Float.round(time / @count, 2)} µs each."
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

  # Instructions and news travel in chunks, one in an interval.
  defp transit(module), do: div(@count, module.chunk_size()) * module.sweep_interval() + 500

  defp let_through(module), do: Process.sleep(transit(module))

  defp start_nodes({:module, module, binary, _}) do
    # A VM that becomes a node after its start expects a running epmd.
    {_, 0} = System.cmd("epmd", ["-daemon"])
    {:ok, _} = Node.start(:"demo_#{System.pid()}@127.0.0.1", :longnames)

    {:ok, _, node} =
      :peer.start(%{
        name: :"demo_remote_#{System.pid()}",
        host: ~c"127.0.0.1",
        args: [~c"-setcookie", Atom.to_charlist(Node.get_cookie()), ~c"-pa" | :code.get_path()]
      })

    {:ok, _} = :erpc.call(node, Application, :ensure_all_started, [:zen_monitor])
    {:module, ^module} = :erpc.call(node, :code, :load_binary, [module, ~c"demo.exs", binary])
    node
  end

  defp remote(node, function, arguments), do: :erpc.call(node, Remote, function, arguments)

  defp time(fun), do: :timer.tc(fun)

  defp now, do: System.monotonic_time(:microsecond)

  defp milliseconds(microseconds) when microseconds < 100_000,
    do: "#{Float.round(microseconds / 1000, 1)} ms"

  defp milliseconds(microseconds), do: "#{number(round(microseconds / 1000))} ms"

  defp number(number) do
    number
    |> Integer.to_string()
    |> String.replace(~r/\B(?=(\d{3})+$)/, ",")
  end
end

Demo.run(code)
