defmodule ZenMonitor.PeerScript do
  @moduledoc false
  # What the tests have other nodes do, and do themselves.

  defmodule Server do
    @moduledoc false
    use GenServer

    @impl GenServer
    def init(state), do: {:ok, state}

    @impl GenServer
    def handle_cast(:crash, state), do: {:noreply, crash(state)}

    defp crash(%{no: such} = _state), do: such
  end

  @doc "A process that lives until it is told to exit."
  def target do
    spawn(fn ->
      receive do
        {:exit, reason} -> exit(reason)
        :return -> :ok
      end
    end)
  end

  def targets(amount), do: for(_ <- 1..amount, do: target())

  def named_target(name) do
    pid = target()
    Process.register(pid, name)
    pid
  end

  def dead_target do
    pid = target()
    kill([pid])
    pid
  end

  @doc "A server whose crash says a lot."
  def server(state) do
    {:ok, pid} = GenServer.start(Server, state)
    pid
  end

  @doc "Kills processes and returns when they are dead."
  def kill(pids) do
    monitors = for pid <- pids, do: Process.monitor(pid)
    for pid <- pids, do: Process.exit(pid, :kill)
    for monitor <- monitors, do: receive(do: ({:DOWN, ^monitor, _, _, _} -> :ok))
    :ok
  end

  @doc "Kills processes that other nodes watch, each when the exit of the one before has been certified."
  def kill_certified(pids) do
    for pid <- pids do
      left = subscriptions() - 1
      kill([pid])
      ZenMonitor.Cluster.wait_until(fn -> subscriptions() <= left end)
    end
  end

  @doc "Sends each of the messages to each of the processes."
  def send_all(processes, messages) do
    for process <- processes, message <- messages, do: send(process, message)
  end

  @doc "Kills what is registered, and returns when it is replaced."
  def kill_name(name) do
    pid = Process.whereis(name)
    kill([pid])
    ZenMonitor.Cluster.wait_until(fn -> Process.whereis(name) not in [nil, pid] end)
  end

  @doc "Changes the configuration of this node."
  def configure(env), do: Application.put_all_env(zen_monitor: env)

  @doc "Makes the configuration of this node the default again."
  def reset_configuration do
    for {key, _} <- Application.get_all_env(:zen_monitor) do
      Application.delete_env(:zen_monitor, key)
    end
  end

  @doc "The children of a `DynamicSupervisor`."
  def children(supervisor), do: DynamicSupervisor.which_children(supervisor)

  @doc "Kills all children of a `DynamicSupervisor`."
  def kill_children(supervisor) do
    kill(for {_, pid, _, _} <- children(supervisor), do: pid)
  end

  @doc "Kills what is registered, or all children of a supervisor, unless that is just restarted."
  def kill_victim({:children, supervisor}) do
    kill_children(supervisor)
  catch
    :exit, _ -> :ok
  end

  def kill_victim(:holder), do: kill_holder()

  def kill_victim(name), do: if(Process.whereis(name), do: kill_name(name))

  def kill_proxy, do: kill_name(ZenMonitor.Proxy)

  @doc """
  Kills one of those that hold monitors for the Proxy of this node, or itself where there is none, and returns once
  the Proxy has a successor.
  """
  def kill_holder do
    # One that is just being started has the holders of the former still.
    ZenMonitor.Cluster.wait_until(&proxy_answers?/0)
    proxy = Process.whereis(ZenMonitor.Proxy)
    victims = ZenMonitor.Native.proxy_holders()
    Process.exit(if(victims == [], do: proxy, else: Enum.random(victims)), :kill)

    ZenMonitor.Cluster.wait_until(fn ->
      Process.whereis(ZenMonitor.Proxy) != proxy and proxy_answers?()
    end)
  end

  defp proxy_answers? do
    ZenMonitor.Proxy.ping() == :pong
  catch
    :exit, _ -> false
  end

  @doc "Loads the code of a module again, as an upgrade does."
  def load(module) do
    :code.purge(module)
    {:module, ^module} = :code.load_file(module)
  end

  @doc "Whether the Proxy of this node, or a holder of its, watches a process, or all of a list."
  def watched?(pids) do
    own = [Process.whereis(ZenMonitor.Proxy) | ZenMonitor.Native.proxy_holders()]
    pids |> List.wrap() |> Enum.all?(&watched_by?(&1, own))
  end

  @doc "The same, on behalf of another node, over the connection that it has now."
  def subscribed?(pids, node) do
    watched?(pids) and pids |> List.wrap() |> Enum.all?(&(node in ZenMonitor.info(&1).watched_by))
  end

  defp watched_by?(pid, own) do
    case Process.info(pid, :monitored_by) do
      {:monitored_by, watchers} -> Enum.any?(watchers, &(&1 in own))
      nil -> false
    end
  end

  @doc "The nodes that watch a process of this one."
  def watched_by(destination), do: ZenMonitor.info(destination).watched_by

  def start_application, do: Application.ensure_all_started(:zen_monitor)
  def stop_application, do: Application.stop(:zen_monitor)

  @doc "All processes of the supervision tree on this node."
  def supervised(supervisor \\ ZenMonitor.Supervisor) do
    for {id, pid, type, _} <- Supervisor.which_children(supervisor) do
      if type == :supervisor, do: {id, pid, supervised(pid)}, else: {id, pid}
    end
  end

  def suspend(name), do: :sys.suspend(name)
  def resume(name), do: :sys.resume(name)

  @doc "Gives this node a name."
  def start_distribution do
    Node.start(:"zen_monitor_lonely_#{System.pid()}@127.0.0.1", :longnames)
  end

  @doc "Gives this node a name while a tag waits; whether its pid still is of this node then."
  def tag_across_a_name do
    {me, target} = {self(), target()}
    ref = ZenMonitor.monitor(target, tag: {:gone, me})
    {:ok, _} = start_distribution()
    send(target, {:exit, :late})

    receive do
      {{:gone, ^me}, ^ref, :process, ^target, {:zen_monitor, reason}} -> reason
    after
      10_000 -> :nothing
    end
  end

  @doc "A process that places monitors of its own and keeps the messages it gets."
  def watcher, do: spawn(fn -> watch([], %{}) end)

  def named_watcher(name) do
    pid = watcher()
    Process.register(pid, name)
    pid
  end

  defp watch(received, refs) do
    receive do
      {:place, destination, from, tag} ->
        ref = ZenMonitor.monitor(destination)
        send(from, {tag, ref})
        watch(received, Map.put(refs, destination, ref))

      {:remove, destination, from, tag} ->
        send(from, {tag, ZenMonitor.demonitor(Map.fetch!(refs, destination), [:info])})
        watch(received, refs)

      {:received, from, tag} ->
        send(from, {tag, Enum.reverse(received)})
        watch(received, refs)

      message ->
        watch([message | received], refs)
    end
  end

  @doc "Has a watcher place a monitor."
  def place(watcher, destination), do: ask(watcher, &{:place, destination, self(), &1})

  @doc "Has a watcher place a monitor on each of many destinations."
  def place_all(watcher, destinations) do
    for destination <- destinations, do: place(watcher, destination)
    :ok
  end

  @doc "So many watchers of one destination."
  def crowd(amount, destination) do
    for _ <- 1..amount do
      watcher = watcher()
      place(watcher, destination)
      watcher
    end
  end

  @doc "The `downs/1` of each of them."
  def crowd_downs(watchers), do: for(watcher <- watchers, do: downs(watcher))

  @doc "A watcher that keeps what happens to the connections of this node as well."
  def watcher_of_nodes do
    spawn(fn ->
      :ok = :net_kernel.monitor_nodes(true)
      watch([], %{})
    end)
  end

  @doc """
  What `demonitor/2` answers thrice for a monitor that stands; then, for monitors that have fired, what
  it answers with these options, and whether the message is still there.
  """
  def removals(target, options) do
    standing = ZenMonitor.monitor(target)
    refs = for _ <- options, do: ZenMonitor.monitor(target)
    answers = for opts <- [[:info], [:info], [:flush]], do: ZenMonitor.demonitor(standing, opts)
    send(target, {:exit, :done})

    ZenMonitor.Cluster.wait_until(fn ->
      {:messages, messages} = Process.info(self(), :messages)
      Enum.all?(refs, &List.keymember?(messages, &1, 1))
    end)

    {answers,
     for {ref, opts} <- Enum.zip(refs, options) do
       {opts, ZenMonitor.demonitor(ref, opts), down?(ref)}
     end, down?(standing)}
  end

  defp down?(ref) do
    receive do
      {:DOWN, ^ref, _, _, _} -> true
    after
      0 -> false
    end
  end

  @doc "How often a watcher has received the `:DOWN` of each pid, by pid and reason."
  def downs(watcher) do
    Enum.frequencies(
      for {:DOWN, _, :process, pid, {:zen_monitor, reason}} <- received(watcher),
          do: {pid, reason}
    )
  end

  @doc "How many subscriptions of other nodes stand on this node."
  def subscriptions, do: ZenMonitor.Native.sizes()[:subscriptions]

  @doc "How many deaths a node has yet to be told of, with those that are on their way out."
  def pending_certificates, do: ZenMonitor.Native.sizes()[:certificates]

  @doc "Fills the connection to a node that does not read, and returns when it takes no more."
  def fill(node) do
    filler = spawn(fn -> flood({:zen_monitor_nobody, node}) end)
    suspended? = fn -> Process.info(filler, :status) == {:status, :suspended} end
    ZenMonitor.Cluster.wait_until(fn -> suspended?.() and Process.sleep(50) && suspended?.() end)
    Process.exit(filler, :kill)
  end

  defp flood(nobody) do
    send(nobody, :binary.copy("x", 1_000_000))
    flood(nobody)
  end

  @doc "Has a watcher remove its last monitor of a destination, and returns whether it had it."
  def remove(watcher, destination), do: ask(watcher, &{:remove, destination, self(), &1})

  @doc "What a watcher has received."
  def received(watcher), do: ask(watcher, &{:received, self(), &1})

  # By name, because a pid that comes from another node is not local any more once this one has
  # changed its own name.
  def place_by_pid(watcher, name), do: place(watcher, Process.whereis(name))
  def remove_by_pid(watcher, name), do: remove(watcher, Process.whereis(name))
  def kill_named(name), do: kill([Process.whereis(name)])
  def named_watched?(name), do: watched?(Process.whereis(name))

  @doc "Whether the Proxy of this node watches whatever process has a name."
  def watched_by_name?(name) do
    {:monitors, monitors} = Process.info(Process.whereis(ZenMonitor.Proxy), :monitors)
    {:process, {name, node()}} in monitors
  end

  defp ask(watcher, question) do
    tag = make_ref()
    send(watcher, question.(tag))
    receive(do: ({^tag, answer} -> answer))
  end
end
