defmodule ZenMonitor.Ledger.Site do
  @moduledoc false
  # What the ledger runs on each node: the targets with their reaper, the workers, and the record of
  # what disturbed the link to which node.

  use GenServer

  alias ZenMonitor.{Ledger.Worker, Metrics, Native}

  @patience 120_000

  # Every stage at full speed: the ledger is about order, not about pace.
  @config [
    demand_amount: 100_000,
    demand_interval: 2,
    connector_chunk_size: 20_000,
    connector_sweep_interval: 2,
    batcher_chunk_size: 20_000,
    batcher_sweep_interval: 2
  ]

  def start(index) do
    # Of this node, ExUnit captures the log.
    if index > 0, do: Logger.configure(level: :none)
    Application.put_all_env(zen_monitor: @config)
    # Two numbers for each node: disturbances that have begun, and those that are not over.
    :persistent_term.put(__MODULE__, :atomics.new(16, []))
    {:ok, _} = GenServer.start(__MODULE__, index, name: __MODULE__)
    :ok
  end

  def stop, do: GenServer.stop(__MODULE__)

  @doc "Starts this many mortal and immortal targets, and returns their destinations."
  def plant(mortals, immortals), do: call({:plant, mortals, immortals})

  @doc "Starts to kill the mortals one after the other."
  def reap, do: call(:reap)

  @doc "When each mortal was killed (OS time), once all are."
  def reaped, do: call(:reaped)

  def clear, do: call(:clear)

  @doc "Starts workers, and returns once all have taken their steps."
  def work(places, workers, steps, seed), do: call({:work, places, workers, steps, seed})

  @doc """
  Has the workers wait for what must still fire, which is all that they monitor on a fallen node too,
  and returns their accounts.
  """
  def settle(fallen), do: call({:settle, fallen})

  @doc "Ends the workers, after a last look at their mailboxes."
  def close, do: call(:close)

  @doc "Notes that from now on a monitor on that node may fire with `:nodedown`."
  def disturb(index) do
    record = :persistent_term.get(__MODULE__)
    :atomics.add(record, 2 * index + 1, 1)
    :atomics.add(record, 2 * index + 2, 1)
  end

  @doc "Notes the end of a disturbance, once a monitor on the node is answered by its Proxy."
  def calm(index, node) do
    :ok = await_answer(node)
    :atomics.sub(:persistent_term.get(__MODULE__), 2 * index + 2, 1)
    :ok
  end

  @doc "Returns once a monitor on a node is answered by its Proxy."
  def await_answer(node, deadline \\ System.monotonic_time(:millisecond) + @patience) do
    fn ->
      ref = ZenMonitor.monitor({:zen_monitor_ledger_nobody, node})
      receive(do: ({:DOWN, ^ref, _, _, {:zen_monitor, reason}} -> exit(reason)))
    end
    |> spawn_monitor()
    |> then(fn {pid, monitor} -> receive(do: ({:DOWN, ^monitor, _, ^pid, reason} -> reason)) end)
    |> case do
      :noproc ->
        :ok

      :nodedown ->
        if System.monotonic_time(:millisecond) > deadline, do: raise("#{node} does not answer")
        Process.sleep(20)
        await_answer(node, deadline)
    end
  end

  @doc "How many disturbances of the link to a node have begun, and how many are not over."
  def disturbances(index) do
    record = :persistent_term.get(__MODULE__)
    # In this order: one that begins in between counts as not over.
    begun = :atomics.get(record, 2 * index + 1)
    {begun, :atomics.get(record, 2 * index + 2)}
  end

  @doc "Everything on this node that should hold nothing, and does."
  def residue do
    sizes = for {name, size} <- Native.sizes(), size != 0, do: {name, size}
    local = ["ets.references.size", "batch_length", "held"]
    gauges = for name <- local, do: "zen_monitor.local." <> name
    metrics = for name <- gauges, (value = Metrics.get(name)) != 0, do: {name, value}
    mailboxes = for pid <- processes(), (n = Metrics.message_queue_len(pid)) != 0, do: {pid, n}
    sizes ++ metrics ++ mailboxes
  end

  @doc "All processes of the supervision tree."
  def processes(supervisor \\ ZenMonitor.Supervisor) do
    for {_, pid, type, _} <- Supervisor.which_children(supervisor), is_pid(pid) do
      if type == :supervisor, do: [pid | processes(pid)], else: pid
    end
    |> List.flatten()
  end

  defp call(request), do: GenServer.call(__MODULE__, request, :infinity)

  @impl GenServer
  def init(index),
    do: {:ok, %{index: index, mortals: %{}, immortals: [], reaper: nil, workers: []}}

  @impl GenServer
  def handle_call({:plant, mortals, immortals}, _from, state) do
    pids = for number <- 1..mortals, into: %{}, do: {{state.index, number}, target()}
    forever = for _ <- 1..immortals, do: target()

    # One in ten of both kinds is monitored by name.
    mortal = for {{_, number} = key, pid} <- pids, do: {name(pid, :mortal, number), key}
    immortal = for {pid, number} <- Enum.with_index(forever, 1), do: name(pid, :immortal, number)
    {:reply, {mortal, immortal}, %{state | mortals: pids, immortals: forever}}
  end

  def handle_call(:reap, _from, state) do
    site = self()

    reaper =
      spawn_link(fn ->
        killed = reap_all(Enum.shuffle(state.mortals))
        receive(do: (:reaped -> send(site, {:reaped, killed})))
      end)

    {:reply, :ok, %{state | reaper: reaper}}
  end

  def handle_call(:reaped, _from, state) do
    send(state.reaper, :reaped)
    killed = receive(do: ({:reaped, killed} -> killed))
    {:reply, killed, %{state | reaper: nil, mortals: %{}}}
  end

  def handle_call(:clear, _from, state) do
    for pid <- state.immortals, do: Process.exit(pid, :kill)
    {:reply, :ok, %{state | immortals: []}}
  end

  def handle_call({:work, places, workers, steps, seed}, _from, state) do
    workers =
      for number <- 1..workers, do: Worker.start({seed, state.index, number}, places, steps)

    {:reply, answers(workers, :worked), %{state | workers: workers}}
  end

  def handle_call({:settle, fallen}, _from, state) do
    {:reply, ask(state.workers, :settle, fallen), state}
  end

  def handle_call(:close, _from, state) do
    {:reply, ask(state.workers, :close, nil), %{state | workers: []}}
  end

  @impl GenServer
  def handle_info(_message, state), do: {:noreply, state}

  defp ask(workers, request, argument) do
    for {pid, _} <- workers, do: send(pid, {request, argument})
    answers(workers, request)
  end

  defp answers(workers, request) do
    for {pid, monitor} <- workers do
      receive do
        {^request, ^pid, answer} -> answer
        {:DOWN, ^monitor, _, _, reason} -> {:violation, reason}
      end
    end
  end

  defp target do
    spawn(fn ->
      receive do
        {:exit, reason} -> exit(reason)
        :return -> :ok
      end
    end)
  end

  defp name(pid, kind, number) when rem(number, 10) == 0 do
    name = :"zen_monitor_ledger_#{kind}_#{number}"
    Process.register(pid, name)
    {name, node()}
  end

  defp name(pid, _kind, _number), do: pid

  defp reap_all(mortals) do
    mortals
    |> Enum.chunk_every(3)
    |> Enum.flat_map(fn chunk ->
      Process.sleep(1)

      for {{_, number} = key, pid} <- chunk do
        now = :os.system_time()
        monitor = Process.monitor(pid)
        Worker.end_of(pid, number)
        receive(do: ({:DOWN, ^monitor, _, _, _} -> {key, now}))
      end
    end)
    |> Map.new()
  end
end
