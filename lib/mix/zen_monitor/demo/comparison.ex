defmodule Mix.ZenMonitor.Demo.Comparison do
  @moduledoc false
  # The same events, once watched with `Process.monitor/1` and once with ZenMonitor, measured.

  alias Mix.ZenMonitor.Demo
  alias Mix.ZenMonitor.Demo.{Remote, Sampler}
  alias ZenMonitor.Local.Dispatcher
  alias ZenMonitor.Metrics

  @kinds [:process, :zen]
  # How often the guild is given work, and how much: a thousand times a second.
  @tick 4
  @ticks 4
  # What it takes to handle a message, in microseconds.
  @handling 10
  # Members of the exit reason of the process that is watched by many.
  @entries 1_000
  # So many processes exit one after the other, or as many as there are in the test.
  @samples 200
  # How long nothing happens before each of these exits, and before each of a quarter as many, in milliseconds.
  @pause 10
  @silence 250

  @doc "Runs all, and calls `tell` with what comes next."
  def run(count, tell) do
    tell.("a node with #{Demo.number(count)} watched processes dies under a busy guild")
    deaths = for kind <- @kinds, into: %{}, do: {kind, node_death(kind, count)}

    node = Demo.start_node()
    :compatible = ZenMonitor.connect(node)
    tell.("a process with #{Demo.number(count)} watchers exits")
    herds = for kind <- @kinds, into: %{}, do: {kind, herd(kind, node, count)}
    crowd = max(div(count, 10), 10)
    tell.("a process with a large state and #{Demo.number(crowd)} watchers crashes")
    amplifications = for kind <- @kinds, into: %{}, do: {kind, amplification(kind, node, crowd)}
    tell.("single processes exit, one after the other")
    samples = min(count, @samples)
    for kind <- @kinds, do: exits(kind, node, div(samples, 4), @pause)
    latencies = for kind <- @kinds, into: %{}, do: {kind, latencies(kind, node, samples)}
    tell.("a guild of #{Demo.number(count)} is gathered, and what it has to keep")
    keeping = for kind <- @kinds ++ [:set], into: %{}, do: {kind, keeping(kind, node, count)}
    :erpc.cast(node, :erlang, :halt, [])

    %{
      count: count,
      crowd: crowd,
      budget: round(Dispatcher.maximum_mps()),
      machine: machine(),
      deaths: deaths,
      herds: herds,
      amplifications: amplifications,
      latencies: latencies,
      keeping: keeping
    }
  end

  ## A node's death, for a guild that has other work to do

  # `order` is what the guild handled, in order and by runs; `work` how long each piece of work
  # waited, in microseconds, at which time.
  defp node_death(kind, count) do
    node = Demo.start_node()
    if kind == :zen, do: :compatible = ZenMonitor.connect(node)
    pids = remote(node, :spawn_idle, [count])
    test = self()
    guild = spawn_link(fn -> guild(kind, pids, test) end)
    receive do: ({^guild, :watching} -> :ok)
    wait_until_watched(kind, node, count)

    {{order, work}, samples} =
      Sampler.measure([node(), node], guild, fn mark ->
        ticker = spawn_link(fn -> tick(guild) end)
        Process.sleep(500)
        mark.()
        zero = System.os_time(:microsecond)
        :erpc.cast(node, :erlang, :halt, [])
        {order, work} = receive do: ({^guild, :done, order, work} -> {order, work})
        Process.unlink(ticker)
        Process.exit(ticker, :kill)
        {order, for({at, waited} <- work, do: {(at - zero) / 1_000_000, waited})}
      end)

    Process.unlink(guild)
    Process.exit(guild, :kill)
    {here, there} = {Map.fetch!(samples, node()), Map.get(samples, node, [])}
    %{order: order, work: work, here: here, there: there}
  end

  defp guild(kind, pids, test) do
    for pid <- pids, do: monitor(kind, pid)
    send(test, {self(), :watching})
    {order, work} = guild(length(pids), [], [], nil)
    send(test, {self(), :done, Enum.reverse(order), Enum.reverse(work)})
    Process.sleep(:infinity)
  end

  # It goes on for a moment, so that the work that has waited is seen to be done.
  defp guild(0, order, work, nil), do: guild(0, order, work, now() + 300_000)

  defp guild(left, order, work, until) do
    if until && now() > until do
      {order, work}
    else
      receive do
        {:work, sent} ->
          handle()

          guild(
            left,
            add(:work, order),
            [{System.os_time(:microsecond), now() - sent} | work],
            until
          )

        {:DOWN, _, _, _, _} ->
          handle()
          guild(left - 1, add(:down, order), work, until)
      end
    end
  end

  defp add(kind, [{kind, count} | order]), do: [{kind, count + 1} | order]
  defp add(kind, order), do: [{kind, 1} | order]

  defp handle, do: spin(now() + @handling)

  defp spin(until), do: if(now() < until, do: spin(until))

  defp tick(guild) do
    for _ <- 1..@ticks, do: send(guild, {:work, now()})
    Process.sleep(@tick)
    tick(guild)
  end

  ## One process with many watchers

  defp herd(kind, node, count) do
    [pid] = remote(node, :spawn_idle, [1])
    watchers = watchers(kind, node, pid, count)

    {settled, samples} =
      Sampler.measure([node(), node], nil, fn mark ->
        mark.()
        started = now()
        Process.exit(pid, :kill)
        await_all(watchers)
        now() - started
      end)

    %{settled: settled, here: Map.fetch!(samples, node()), there: Map.fetch!(samples, node)}
  end

  defp amplification(kind, node, count) do
    pid = remote(node, :spawn_stateful, [])
    # Busy with something else, as the processes are that run out of memory.
    watchers = watchers(kind, node, pid, count, 1_500)

    {_, samples} =
      Sampler.measure([node()], nil, fn mark ->
        mark.()
        send(pid, {:crash, @entries})
        await_all(watchers)
      end)

    :erlang.garbage_collect()
    %{here: Map.fetch!(samples, node())}
  end

  # Each tells when it has handled its message, `busy` milliseconds after it has come.
  defp watchers(kind, node, pid, count, busy \\ 0) do
    test = self()

    watchers =
      for _ <- 1..count do
        spawn_link(fn ->
          monitor(kind, pid)
          send(test, :watching)
          if busy > 0, do: linger(busy)
          receive do: ({:DOWN, _, _, _, _} -> send(test, :handled))
        end)
      end

    for _ <- watchers, do: receive(do: (:watching -> :ok))
    wait_until_watched(kind, node, 1)
    watchers
  end

  defp linger(busy) do
    {:message_queue_len, length} = Process.info(self(), :message_queue_len)
    Process.sleep(if length == 0, do: 10, else: busy)
    if length == 0, do: linger(busy)
  end

  defp await_all(watchers), do: for(_ <- watchers, do: receive(do: (:handled -> :ok)))

  ## Single processes

  # In microseconds, from the exit to the message.
  defp latencies(kind, node, samples) do
    exits = exits(kind, node, samples, @pause)
    silent = exits(kind, node, div(samples, 4), @silence)
    pids = remote(node, :spawn_idle, [40 * samples])

    calls =
      for pid <- pids do
        started = System.monotonic_time(:nanosecond)
        monitor(kind, pid)
        (System.monotonic_time(:nanosecond) - started) / 1_000
      end

    wait_until_watched(kind, node, length(pids))
    remote(node, :kill, [pids])
    for _ <- pids, do: receive(do: ({:DOWN, _, _, _, _} -> :ok))
    %{exits: exits, silent: silent, calls: Enum.drop(calls, samples)}
  end

  defp exits(kind, node, amount, pause) do
    for pid <- remote(node, :spawn_idle, [amount]) do
      ref = monitor(kind, pid)
      wait_until_watched(kind, node, 1)
      Process.sleep(pause)
      started = now()
      Process.exit(pid, :kill)
      receive do: ({:DOWN, ^ref, _, _, _} -> now() - started)
    end
  end

  ## What a guild keeps

  # Of each of its processes: nanoseconds in the call, and bytes on its heap. And for how many microseconds
  # a collection of its garbage stops it.
  defp keeping(kind, node, count) do
    pids = remote(node, :spawn_idle, [count])
    test = self()

    guild =
      spawn_link(fn ->
        before = collected()
        started = System.monotonic_time(:nanosecond)
        kept = gather(kind, pids)
        call = System.monotonic_time(:nanosecond) - started
        bytes = collected() - before
        {pause, true} = :timer.tc(:erlang, :garbage_collect, [])
        send(test, {self(), %{call: call / count, bytes: bytes / count, pause: pause}})
        Process.sleep(:infinity)
        # Until then it must not be taken for garbage.
        send(test, {pids, kept})
      end)

    kept = receive do: ({^guild, kept} -> kept)
    Process.unlink(guild)
    Process.exit(guild, :kill)
    remote(node, :kill, [pids])
    kept
  end

  defp gather(:set, pids) do
    set = ZenMonitor.Set.new()
    ZenMonitor.Set.put(set, pids)
    set
  end

  defp gather(kind, pids), do: for(pid <- pids, do: monitor(kind, pid))

  defp collected do
    :erlang.garbage_collect()
    {:memory, bytes} = Process.info(self(), :memory)
    bytes
  end

  defp monitor(:process, pid), do: Process.monitor(pid)
  defp monitor(:zen, pid), do: ZenMonitor.monitor(pid)

  # The signals of `Process.monitor/1` arrive before any that is sent after them.
  defp wait_until_watched(:process, _node, _count), do: :ok

  defp wait_until_watched(:zen, node, count) do
    if :erpc.call(node, Metrics, :get, ["zen_monitor.proxy.ets.subscribers.size"]) < count do
      Process.sleep(5)
      wait_until_watched(:zen, node, count)
    end
  end

  defp remote(node, function, arguments), do: :erpc.call(node, Remote, function, arguments)

  defp machine do
    %{
      elixir: System.version(),
      otp: System.otp_release(),
      zen_monitor: to_string(Application.spec(:zen_monitor, :vsn)),
      architecture: List.to_string(:erlang.system_info(:system_architecture)),
      schedulers: System.schedulers_online(),
      processor: processor(),
      time: DateTime.utc_now() |> DateTime.truncate(:second) |> DateTime.to_string()
    }
  end

  defp processor do
    with {:ok, info} <- File.read("/proc/cpuinfo"),
         [_, name] <- Regex.run(~r/^model name\s*:\s*(.+)$/m, info) do
      name
    else
      _ -> "unknown processor"
    end
  end

  defp now, do: System.monotonic_time(:microsecond)
end
