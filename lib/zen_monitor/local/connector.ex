defmodule ZenMonitor.Local.Connector do
  @moduledoc """
  The link to one remote node: one process per node, started when something on it is first monitored.

  When nothing on the node has been monitored for `ZenMonitor.idle_timeout/0`, it stops, and is started again
  by the next monitor. When it stops, the cache forgets that the node is compatible.

  It sends instructions to the node's Proxy, at most `chunk_size/0` per `sweep_interval/0`, and receives the
  death certificates. It keeps the cached compatibility of the node, and notices when the node or its Proxy goes
  down.

  ## Connections

  A subscription belongs to the connection over which it was sent. OTP puts messages into one mailbox in this
  order: the `:nodedown` of a connection, the `:nodeup` of the next one, and the signals that come over that.
  So the Connector first takes a chunk from the table, and then searches its mailbox for a `:nodedown`. It
  sends the chunk only if there is none: everything in it was monitored while the connection stood. When the
  `:nodedown` comes, monitors whose instructions were sent are due. Instructions that were not sent go over the
  next connection; if there is none, their monitors are due as well. With a `ZenMonitor.nodedown_grace/0`, all of
  them wait for the next connection first.

  ## Slow nodes

  When a node does not read, only its own Connector notices. The ping runs in a process of its own, with a timeout. A
  chunk that the connection does not take is kept and offered again. If more than `max_pending_instructions`
  wait by then, the monitors beyond that fire with `:nodedown`.
  """
  # Local.Connectors starts it, and replaces it when it dies.
  use ZenMonitor.Stage, restart: :temporary

  import ZenMonitor.Setting

  alias ZenMonitor.{Native, Pace, Proxy, StandIn, Telemetry}

  alias ZenMonitor.Local.{
    Address,
    Certificates,
    Compatibility,
    Connectors,
    Grace,
    Instructions,
    Ping,
    Placing
  }

  require Logger

  @typedoc "What the cache says of a node."
  @type cached_compatibility ::
          :miss | :compatible | :unavailable | :incompatible | {:expired, attempt :: pos_integer}

  setting(:sweep_interval, :connector_sweep_interval, pos_integer, """
  The interval in which at most one `chunk_size/0` of instructions goes to a node, in milliseconds.
  """)

  setting(:chunk_size, :connector_chunk_size, pos_integer, """
  How many instructions go to a node at most in any window of one `sweep_interval/0`.
  """)

  @doc """
  The Connector of a destination's node, started if need be.
  """
  @spec get(ZenMonitor.destination()) :: pid
  def get(destination) do
    destination
    |> ZenMonitor.find_node()
    |> get_for_node()
  end

  @doc """
  The Connector of a node, started if need be.
  """
  @spec get_for_node(node) :: pid
  def get_for_node(node), do: node |> Address.key() |> Connectors.get()

  @doc """
  Monitors `destination` for `subscriber` under `ref`, which must be a fresh reference of this node, as
  `make_ref/0` makes it. See `ZenMonitor.monitor/1`.

  Raises `ArgumentError` for an alias: since OTP 27 it has more to it than is kept of a reference.
  """
  @spec monitor(ZenMonitor.destination(), reference, subscriber :: pid) :: :ok
  def monitor(destination, ref, subscriber)

  def monitor(_destination, ref, subscriber)
      when not is_pid(subscriber) or not is_reference(ref) or node(ref) != node() or
             node(subscriber) != node() do
    raise ArgumentError,
          "expected a reference and a pid of this node, got: " <>
            "#{inspect(ref)} and #{inspect(subscriber)}"
  end

  def monitor(destination, ref, subscriber), do: Placing.place(destination, ref, subscriber)

  @doc """
  The references under which `subscriber` monitors `destination` and that are not due.
  """
  @spec monitors(ZenMonitor.destination(), subscriber :: pid) :: [reference]
  def monitors(destination, subscriber) do
    {key, target} = Address.of(destination)
    Native.monitors(subscriber, key, target)
  end

  @doc """
  Removes a monitor of the calling process. See `ZenMonitor.demonitor/2`.
  """
  @spec demonitor(ZenMonitor.destination(), reference) :: :ok
  def demonitor(_destination, ref) do
    ZenMonitor.Local.demonitor(ref)
    :ok
  end

  @doc """
  See `ZenMonitor.compatibility_for_node/1`.
  """
  @spec compatibility(node) :: ZenMonitor.compatibility()
  def compatibility(node) do
    case cached_compatibility(node) do
      :compatible -> :compatible
      _ -> :incompatible
    end
  end

  @doc """
  What the cache says of a node: no network, no process call.

    * `:miss` - it was never asked
    * `:compatible` - it runs ZenMonitor
    * `:unavailable` - it was not connected, or has been disconnected since
    * `:incompatible` - it did not answer as it should, and is not asked again for a while
    * `{:expired, attempt}` - that while is over; `attempt` pings have failed in a row
  """
  @spec cached_compatibility(node) :: cached_compatibility
  def cached_compatibility(node), do: node |> Address.key() |> Compatibility.cached()

  @doc """
  See `ZenMonitor.connect/1`.
  """
  @spec connect(node) :: ZenMonitor.compatibility()
  def connect(node) do
    case cached_compatibility(node) do
      known when known in [:compatible, :incompatible] -> known
      _ -> ask(node)
    end
  end

  defp ask(node) do
    connector = get_for_node(node)

    try do
      GenServer.call(connector, :connect, :infinity)
    catch
      # The Connector has just retired.
      :exit, {reason, _call} when reason in [:normal, :noproc] -> connect(node)
    end
  end

  @doc false
  def start_link(key) do
    GenServer.start_link(__MODULE__, key, hibernate_after: Pace.hibernate_after())
  end

  @impl GenServer
  def init(key) do
    :net_kernel.monitor_nodes(true, node_type: :all)

    # - `proxy`: the monitor on the remote Proxy; `version`: the version of the compact form that it reads
    # - `ping`: the ping that is under way; `callers`: who waits for its end
    # - `unsent`: a message that the connection was too busy to take, and how many instructions it has
    # - `grace`: see `Grace`, for when the connection is lost
    succeeds = Native.connector_answer(key)

    state = %{
      key: key,
      pace: Pace.new(:connector, Native.window(), succeeds),
      proxy: nil,
      version: 0,
      ping: nil,
      callers: [],
      unsent: nil,
      shedding?: false,
      grace: Grace.recover(key)
    }

    {:ok, state, {:continue, if(succeeds, do: :succeed, else: :request)}}
  end

  @impl GenServer
  def handle_continue(:succeed, state) do
    # The subscriptions belong to the pid of the predecessor. And a nodedown may have been missed.
    state = if Address.connected?(state.key), do: state, else: disconnect(state)
    Instructions.resubscribe(state.key)
    Telemetry.restarted(__MODULE__, state.key)
    request(state)
  end

  def handle_continue(:request, state), do: request(state)

  @impl GenServer
  def handle_call(:connect, {pid, _tag} = from, state) when is_pid(pid) do
    case ensure_compatibility(state) do
      {:pending, state} -> {:noreply, %{state | callers: [from | state.callers]}}
      {:away, state} -> {:reply, :incompatible, state}
      {compatibility, state} -> {:reply, compatibility, state}
    end
  end

  def handle_call(message, from, state), do: super(message, from, state)

  @impl GenServer
  def handle_info({:dead, _node, certificates}, state) do
    began = Telemetry.began()
    Certificates.certify(state.key, certificates)
    # Counting them takes time, so they are counted only if a handler is attached.
    if Telemetry.attached?() do
      Telemetry.connector_certificates(began, state.key, Telemetry.count(certificates))
    end

    note_use(state)
  end

  def handle_info({:dead, 1, _node, parts}, state) do
    began = Telemetry.began()
    certified = Certificates.certify_parts(state.key, parts)
    Telemetry.connector_certificates(began, state.key, certified)
    note_use(state)
  end

  def handle_info({:timeout, idle, :idle}, %{pace: %Pace{idle: idle}} = state) do
    # It must not stop while callers wait for a ping, or with an unsent message, which is in no table.
    if state.ping == nil and state.unsent == nil and Native.connector_retire(state.key),
      do: {:stop, :normal, state},
      else: request(state)
  end

  def handle_info({:nodedown, node, _info}, %{key: node} = state) do
    state |> disconnect() |> request()
  end

  def handle_info({:nodeup, node, _info}, %{key: node, grace: {:held, _}} = state) do
    request(state)
  end

  # The grace is over: the node is not back, or does not answer.
  def handle_info({:timeout, timer, :grace}, %{grace: {:held, timer}} = state) do
    state |> give_up_ping() |> expire() |> request()
  end

  # The timer of a grace that was cancelled too late.
  def handle_info({:timeout, _timer, :grace}, state), do: {:noreply, state}

  # The connection is lost. It is the nodedown that is acted on, since it is in order with other messages.
  def handle_info({:DOWN, proxy, _, _, :noconnection}, %{proxy: proxy, key: key} = state)
      when key != ZenMonitor.Local do
    {:noreply, %{state | proxy: nil}}
  end

  def handle_info({:DOWN, proxy, _, _, _reason}, %{proxy: proxy} = state) do
    state = expire(%{state | proxy: nil})
    Compatibility.penalize(state.key, 1)
    request(state)
  end

  # The same for a ping that the lost connection has cut off: it tells nothing about the node.
  def handle_info({:pong, pid, :noconnection, _life}, %{ping: {pid, _, _}, key: key} = state)
      when key != ZenMonitor.Local do
    {:noreply, state}
  end

  def handle_info({:pong, pid, pong, life}, %{ping: {pid, _, _}} = state) do
    state |> answered(pong, life) |> request()
  end

  # The call of the ping has the same timeout, but may wait for the connection before that begins.
  def handle_info({:ping_timeout, pid}, %{ping: {pid, _, _}} = state) do
    state |> answered(:error, nil) |> request()
  end

  # These are of a ping that was given up.
  def handle_info({:pong, pid, _pong, _life}, state) when is_pid(pid), do: {:noreply, state}
  def handle_info({:ping_timeout, pid}, state) when is_pid(pid), do: {:noreply, state}

  # Other nodes come and go.
  def handle_info({change, _node, _info}, state) when change in [:nodeup, :nodedown] do
    {:noreply, state}
  end

  def handle_info(message, state), do: super(message, state)

  defp sweep(allowance, state) do
    began = Telemetry.began()

    case ensure_compatibility(state) do
      {:compatible, state} ->
        {left, state} = state |> resume(allowance) |> then(&send_chunk(allowance, &1))
        Telemetry.connector_sweep(began, state.key, allowance - left)
        swept(state)

      {:incompatible, state} ->
        Telemetry.shed(state.key, Instructions.fail(state.key))
        swept(state)

      # The end of the ping requests the next sweep.
      {:pending, state} ->
        {:noreply, state}

      # So does the nodedown, the nodeup, or the end of the grace.
      {:away, state} ->
        {:noreply, state}
    end
  end

  defp swept(%{unsent: nil, grace: :none} = state) do
    if Native.connector_rest(state.key) do
      # What is monitored now is delivered by the settings of now.
      StandIn.note(:dispatcher)
      note_use(%{state | pace: Pace.rest(state.pace)})
    else
      request(state)
    end
  end

  # After a gap, an unsent message is offered again, or held targets are resumed further.
  defp swept(state), do: request(state)

  defp note_use(state) do
    pace = Pace.idle(state.pace, Native.connector_is_unused(state.key))
    {:noreply, %{state | pace: pace}}
  end

  # A chunk that is open would be taken for sent.
  defp resume(%{unsent: nil} = state, allowance) do
    %{state | grace: Grace.resume(state.grace, state.key, allowance)}
  end

  defp resume(state, _allowance), do: state

  # Returns what is left of the allowance.
  defp send_chunk(0, state), do: {0, state}

  defp send_chunk(allowance, %{key: key} = state) do
    {message, sent, emptied?} = next_message(allowance, state)

    receive do
      {:nodedown, ^key, _info} -> {allowance, disconnect(%{state | unsent: {message, sent}})}
    after
      0 ->
        case Instructions.cast(key, message, sent) do
          :nosuspend ->
            {allowance, shed(%{state | unsent: {message, sent}})}

          _ ->
            # So far it was only put into the queue of the connection. Often this scheduler is to write it, too.
            :erlang.yield()
            Native.connector_confirm(key)
            left = max(allowance - sent, 0)
            pace = Pace.enter(state.pace, sent)
            state = %{state | pace: pace, unsent: nil, shedding?: false}
            if emptied?, do: {left, state}, else: send_chunk(left, state)
        end
    end
  end

  defp next_message(_allowance, %{unsent: {message, sent}}), do: {message, sent, false}

  defp next_message(allowance, %{key: key, version: version}) do
    Instructions.next(key, version, allowance)
  end

  defp shed(%{key: key} = state) do
    targets = Instructions.shed(key)
    Telemetry.shed(key, targets)
    if targets > 0, do: warn(state), else: state
  end

  # It warns once, until the node takes something again.
  defp warn(%{shedding?: true} = state), do: state

  defp warn(state) do
    Logger.warning(
      "#{inspect(state.key)} does not take instructions, and more than :max_pending_instructions " <>
        "wait for it. Monitors on it that are too many fire with :nodedown"
    )

    %{state | shedding?: true}
  end

  defp disconnect(state) do
    Compatibility.unavailable(state.key)
    if state.unsent, do: Instructions.withdraw(state.key)
    Telemetry.node_down(state.key)
    grace = Grace.lose(state.grace, state.key, state.ping != nil)
    state = give_up_ping(state)
    if grace == :none, do: expire(state), else: forget_proxy(%{state | grace: grace})
  end

  # Instructions that were taken and not sent count as sent: their monitors are due like the others.
  defp expire(state) do
    Native.connector_confirm(state.key)
    Native.connector_expire(state.key)
    forget_proxy(%{state | grace: Grace.give_up(state.grace)})
  end

  defp forget_proxy(state) do
    if state.proxy, do: Process.demonitor(state.proxy, [:flush])
    %{state | proxy: nil, unsent: nil}
  end

  # A node counts as compatible only while its Proxy is monitored, because nothing else tells that it is not
  # compatible any more.
  defp ensure_compatibility(%{ping: ping} = state) when ping != nil, do: {:pending, state}

  defp ensure_compatibility(state) do
    case Compatibility.cached(state.key) do
      :compatible when state.proxy != nil -> {:compatible, state}
      :incompatible -> {:incompatible, state}
      {:expired, attempt} -> ping(state, attempt + 1)
      _ -> ping(state, 1)
    end
  end

  defp ping(%{key: key} = state, attempt) do
    if Address.connected?(key) do
      {:pending, %{state | ping: Ping.start(key, attempt)}}
    else
      away(Compatibility.cached(key), state)
    end
  end

  # The `:DOWN` of the Proxy comes before the nodedown. New monitors must not fire before the nodedown tells whether
  # they are held.
  defp away(:compatible, state), do: {:away, state}

  defp away(_cached, state) do
    Compatibility.unavailable(state.key)
    {if(state.grace == :none, do: :incompatible, else: :away), state}
  end

  defp answered(%{key: key, ping: {_, _, attempt} = ping} = state, pong, life) do
    Ping.stop(ping)

    case pong do
      {:ok, version} ->
        Compatibility.compatible(key)
        grace = Grace.recognize(state.grace, key, life)

        # There may be a monitor already, if the cache has forgotten the node because the Connector was about to
        # retire.
        proxy = state.proxy || Process.monitor({Proxy, Address.node_name(key)})
        reply(%{state | ping: nil, proxy: proxy, version: version, grace: grace}, :compatible)

      _failure ->
        state = if state.grace == :none, do: state, else: expire(state)
        Compatibility.penalize(key, attempt)
        reply(%{state | ping: nil}, :incompatible)
    end
  end

  defp give_up_ping(%{ping: nil} = state), do: state

  defp give_up_ping(%{ping: ping} = state) do
    Ping.stop(ping)
    reply(%{state | ping: nil}, :incompatible)
  end

  defp reply(state, compatibility) do
    for caller <- state.callers, do: GenServer.reply(caller, compatibility)
    %{state | callers: []}
  end
end
