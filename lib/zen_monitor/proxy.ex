defmodule ZenMonitor.Proxy do
  @moduledoc """
  Monitors processes of this node on behalf of other nodes.

  Connectors of other nodes (and this node's own) subscribe to destinations of this node. The Proxy
  places one ordinary monitor on each destination, however many connectors subscribe to it. When it
  goes down, its truncated exit reason goes out to them in batches, one
  `ZenMonitor.Proxy.Batcher` per connector.
  """

  # The Proxy sees the signals of a connector and the comings and goings of its connection in one order. It holds
  # the ERTS monitors of names, and where there is one scheduler, those of pids, too; otherwise a pid is held by
  # one of its holders, who can do so at the same time. All else is native: who is subscribed to what,
  # who holds what, and the certificates that wait.
  #
  # Invariants:
  #
  # - The subscription table is empty when a Proxy starts. A former Proxy's death has been
  #   `:nodedown` to its connectors, and they subscribe again.
  # - It lives and dies with its holders: with one of them, its ERTS monitors are gone. A holder that outlives it
  #   for a moment finds nothing of its own in the table.
  # - It alone starts Batchers, so a connector has one. Each is monitored, and replaced when it dies.
  # - OTP delivers `nodedown`, then `nodeup`, then the first signal of a new connection. So what is
  #   attached when either arrives came over a connection that is gone, and is detached.
  # - It sends to another node only what does not suspend it, and places no monitor there: a connection that
  #   is busy would suspend it, and all other nodes would wait.

  use ZenMonitor.Server

  alias ZenMonitor.{Malformed, Native, Pace, StandIn, Telemetry, Wire}
  alias ZenMonitor.Proxy.{Batcher, Exits, Holder, Passing}

  defmodule Connector do
    @moduledoc false
    # `native` is its record in the subscription table, `batcher` is nil while there is no supervisor
    # to start one, and `version` that of the compact wire that it speaks.

    @enforce_keys [:native, :batcher]
    defstruct [:native, :batcher, version: 0]
  end

  @doc """
  Asks this node's Proxy for a sign of life.

  A Connector asks a remote Proxy in the same way to find out whether its node is compatible. Exits
  as `GenServer.call/2` does when the Proxy does not run.
  """
  @spec ping() :: :pong
  def ping, do: GenServer.call(__MODULE__, :ping)

  @doc false
  def start_link(_opts) do
    GenServer.start_link(__MODULE__, [], name: __MODULE__, hibernate_after: Pace.hibernate_after())
  end

  @doc false
  # The Batcher of a connector, which is attached if the Proxy has not seen it.
  @spec batcher(connector :: pid, timeout) :: pid | nil
  def batcher(connector, timeout) do
    GenServer.call(__MODULE__, {:batcher, connector}, timeout)
  end

  @doc false
  # The nodes that watch a process of this node, as it was named to this Proxy.
  @spec watchers(ZenMonitor.destination()) :: [node]
  def watchers(destination) do
    for pid <- GenServer.call(__MODULE__, {:watchers, destination}), do: node(pid)
  end

  @doc false
  # Detaches a connector that has no subscriptions. Its next instructions attach it again.
  @spec retire(connector :: pid) :: :ok
  def retire(connector), do: GenServer.cast(__MODULE__, {:retire, connector})

  @doc false
  # Whether a process there can be sent to, and monitored, without connecting its node.
  def connected?(node), do: node == node() or node in Node.list(:connected)

  @doc false
  # For when the Batchers' supervisor is back.
  def start_batchers, do: GenServer.cast(__MODULE__, :start_batchers)

  @impl true
  def init(_) do
    # A mass exit fills the mailbox, which then must not be copied by every collection.
    Process.flag(:message_queue_data, :off_heap)
    :ok = :net_kernel.monitor_nodes(true, node_type: :all)
    if Native.proxy_reset(Holder.start_all()), do: Telemetry.restarted(__MODULE__, nil)
    send(self(), :wake)
    {:ok, %{}}
  end

  @impl true
  def handle_call(:ping, {pid, _tag} = from, connectors) when is_pid(pid) do
    pong = Wire.pong(from)

    if node(pid) == node(),
      do: GenServer.reply(from, pong),
      else: spawn(fn -> GenServer.reply(from, pong) end)

    {:noreply, connectors}
  end

  def handle_call({:batcher, pid}, {caller, _tag}, connectors)
      when is_pid(pid) and is_pid(caller) do
    connectors = attach(pid, connectors)
    {:reply, get_in(connectors, [pid, Access.key(:batcher)]), connectors}
  end

  def handle_call({:watchers, destination}, {caller, _tag}, connectors) when is_pid(caller) do
    watchers = Native.proxy_watchers(destination)
    {:reply, for({pid, %{native: native}} <- connectors, native in watchers, do: pid), connectors}
  end

  def handle_call(message, from, connectors), do: super(message, from, connectors)

  @impl true
  def handle_cast({:process, pid, instructions}, connectors) when is_pid(pid) do
    {:noreply, process(pid, 0, [instructions], connectors)}
  end

  def handle_cast({:process, 1, pid, parts}, connectors) when is_pid(pid) do
    {:noreply, process(pid, 1, parts, connectors)}
  end

  def handle_cast({:subscribe, pid, destinations}, connectors) when is_pid(pid) do
    handle_cast({:process, pid, subscriptions(destinations)}, connectors)
  end

  def handle_cast({:retire, pid}, connectors) when is_map_key(connectors, pid) do
    if Native.proxy_is_unused(connectors[pid].native),
      do: {:noreply, detach(pid, connectors)},
      else: {:noreply, connectors}
  end

  def handle_cast({:retire, _pid}, connectors), do: {:noreply, connectors}

  def handle_cast(:start_batchers, connectors) do
    missing = for {pid, %Connector{batcher: nil}} <- connectors, do: pid
    {:noreply, Enum.reduce(missing, connectors, &restart_batcher/2)}
  end

  def handle_cast(message, connectors), do: super(message, connectors)

  @impl true
  def handle_continue({:next, message}, connectors) do
    Exits.handle_next(message, __MODULE__, connectors)
  end

  @impl true
  def handle_info({:DOWN, _monitor, :process, pid, reason}, connectors) do
    Exits.certify(pid, reason, true, connectors)
  end

  def handle_info({{:DOWN, name}, _monitor, :process, _object, reason}, connectors) do
    Exits.certify(name, reason, true, connectors)
  end

  def handle_info({{:batcher_down, pid}, _monitor, :process, batcher, reason}, connectors) do
    case {connectors, reason} do
      {%{^pid => %Connector{batcher: ^batcher}}, {:shutdown, :connector_down}} ->
        {:noreply, detach(pid, connectors)}

      {%{^pid => %Connector{batcher: ^batcher}}, _} ->
        {:noreply, restart_batcher(pid, connectors)}

      # It has stopped because its connector is detached.
      {%{}, _} ->
        {:noreply, connectors}
    end
  end

  # This node's own, which come with its name, concern no connection.
  def handle_info({change, node, _info}, connectors)
      when change in [:nodeup, :nodedown] and node != node() do
    former = for {pid, _} <- connectors, node(pid) == node, do: pid
    {:noreply, Enum.reduce(former, connectors, &detach/2)}
  end

  # The janitor has left targets that nobody watches.
  def handle_info(:wake, connectors) do
    {monitors, more?} = Native.proxy_release()
    Holder.demonitor_all(monitors)
    if more?, do: send(self(), :wake)
    {:noreply, connectors}
  end

  # This node's own, which come with its name.
  def handle_info({change, node, _info}, connectors)
      when change in [:nodeup, :nodedown] and node == node() do
    {:noreply, connectors}
  end

  def handle_info(message, connectors), do: super(message, connectors)

  ## Connectors

  # Of a node that is not connected, nobody is left to be told: its `nodedown` is under way.
  defp attach(pid, connectors) do
    if is_map_key(connectors, pid) or not connected?(node(pid)) do
      connectors
    else
      native = Native.proxy_attach(pid)
      Map.put(connectors, pid, %Connector{native: native, batcher: start_batcher(pid, native)})
    end
  end

  defp detach(pid, connectors) do
    {connector, connectors} = Map.pop!(connectors, pid)
    # Its Batcher stops by itself.
    Native.proxy_detach(connector.native)
    connectors
  end

  defp restart_batcher(pid, connectors) do
    connector = Map.fetch!(connectors, pid)
    Map.put(connectors, pid, %{connector | batcher: start_batcher(pid, connector.native)})
  end

  defp start_batcher(pid, native) do
    {:ok, batcher} = Batcher.start(pid, native)
    :erlang.monitor(:process, batcher, tag: {:batcher_down, pid})
    batcher
  catch
    # The supervisor is down. When it is back there will be `:start_batchers`.
    :exit, _ -> nil
  end

  ## Instructions

  # It gets its certificates in the version in which it has spoken last.
  defp process(pid, version, parts, connectors) do
    case attach(pid, connectors) do
      %{^pid => %{native: native, version: ^version}} = connectors ->
        process_parts(native, parts, node(pid))
        connectors

      %{^pid => %{native: native} = connector} = connectors ->
        Native.proxy_speak(native, version)
        process_parts(native, parts, node(pid))
        %{connectors | pid => %{connector | version: version}}

      connectors ->
        connectors
    end
  end

  defp process_parts(native, [part | rest], origin) do
    process_part(native, part, [], origin)
    process_parts(native, rest, origin)
  end

  # What is subscribed to now is passed on by the settings of now.
  defp process_parts(_native, [], _origin), do: StandIn.note(:batcher)
  defp process_parts(_native, malformed, origin), do: ignore([malformed], origin)

  # `monitors` are those that the slice before has called for, of what is no holder's.
  defp process_part(_native, [], [], _origin), do: :ok

  defp process_part(native, part, monitors, origin) do
    now = System.monotonic_time(:nanosecond)

    {rest, destinations, released, malformed, passed} =
      Native.proxy_process(native, node(), part, monitors, now)

    Passing.send_all(passed, true)
    ignore(malformed, origin)
    Holder.demonitor_all(released)
    process_part(native, rest, Holder.monitor_all(destinations), origin)
  end

  defp ignore(malformed, origin) do
    Malformed.ignore(malformed, __MODULE__, origin)
    Telemetry.malformed(origin, malformed)
  end

  # Not `for`: the list may be improper, and then its tail is one more malformed instruction.
  defp subscriptions([destination | rest]) do
    [{:subscribe, destination} | subscriptions(rest)]
  end

  defp subscriptions(rest), do: rest
end
