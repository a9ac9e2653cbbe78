defmodule ZenMonitor.Local.Connector do
  @moduledoc """
  The link to one remote node: one process per node, started when something on it is first monitored.

  When nothing on the node has been monitored for `ZenMonitor.idle_timeout/0`, it stops until something
  is. The cache forgets then that the node is compatible.

  It sends the node's Proxy what this node wants watched, at most `chunk_size/0` instructions per
  `sweep_interval/0`, and receives the death certificates. It keeps the cache of which nodes are
  compatible, and notices when the node or its Proxy goes down.

  ## Connections

  Subscriptions belong to the connection that they were sent over. OTP delivers, to one mailbox and
  in this order, the `:nodedown` of a connection, the `:nodeup` of the next one, and the signals that
  come over that. So a chunk is taken from the table first, the mailbox searched for a `:nodedown`
  then, and the chunk sent only if there was none: what is in it was monitored while the connection
  stood. When the `:nodedown` comes, all that was sent is due, and all that was not is sent over the
  next connection, or due too if there is none. With a `ZenMonitor.nodedown_grace/0`, all of it waits for
  the next connection first.

  ## Slow nodes

  A node that does not read what it is sent costs its own Connector a timer, and others nothing. The
  ping is the business of a process of its own, with a timeout. A chunk that the connection does not
  take is kept and offered again; if more than `max_pending_instructions` wait by then, the monitors
  behind the excess fire with `:nodedown`.
  """
  # Local.Connectors starts it, and starts it again when it dies.
  use ZenMonitor.Stage, restart: :temporary

  import ZenMonitor.Setting

  alias ZenMonitor.{Native, Pace, Proxy, Telemetry, Wire}

  alias ZenMonitor.Local.{
    Address,
    Certificates,
    Compatibility,
    Connectors,
    Grace,
    Instructions
  }

  require Logger

  @typedoc "What the cache says of a node."
  @type cached_compatibility ::
          :miss | :compatible | :unavailable | :incompatible | {:expired, attempt :: pos_integer}

  # In ms.
  @ping_timeout 5_000

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

  def monitor(destination, ref, subscriber), do: place(destination, ref, subscriber)

  @doc false
  # As `monitor/3`, for a caller that has made the reference itself.
  @spec place(ZenMonitor.destination(), reference, subscriber :: pid) :: :ok
  def place(pid, ref, subscriber) when is_pid(pid) do
    place(subscriber, node(pid), pid, ref)
  end

  def place({name, node}, ref, subscriber) when is_atom(name) and is_atom(node) do
    place(subscriber, Address.key(node), name, ref)
  end

  def place(name, ref, subscriber) when is_atom(name) do
    place(subscriber, ZenMonitor.Local, name, ref)
  end

  def place(other, _ref, _subscriber), do: ZenMonitor.find_node(other)

  @doc false
  # `options` is what `Local.Options` has made of them.
  @spec monitor_with(
          ZenMonitor.destination(),
          reference,
          subscriber :: pid,
          :bulk | {term, boolean}
        ) ::
          :ok
  def monitor_with(destination, ref, subscriber, options) do
    {key, target} = Address.of(destination)
    placed(Native.monitor_with(subscriber, key, target, ref, options))
  end

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
      # It has just retired.
      :exit, {reason, _call} when reason in [:normal, :noproc] -> connect(node)
    end
  end

  defp place(subscriber, key, target, ref) do
    placed(Native.monitor(subscriber, key, target, ref))
  end

  defp placed(:ok), do: :ok
  defp placed({:start, key}), do: Connectors.start(key)

  defp placed(:alias) do
    raise ArgumentError,
          "expected a reference as make_ref/0 makes it, got an alias. " <>
            "ZenMonitor.monitor/2 has an option for a monitor with an alias"
  end

  @doc false
  def start_link(key) do
    GenServer.start_link(__MODULE__, key, hibernate_after: Pace.hibernate_after())
  end

  @impl GenServer
  def init(key) do
    :net_kernel.monitor_nodes(true, node_type: :all)

    # `proxy` is the monitor of the remote Proxy, `version` that of the compact wire that it reads, `ping`
    # the one that is under way, `callers` wait for its end, and `unsent` is a message that the connection
    # was too busy to take, with how many instructions it has. `grace` is what becomes of the monitors on a
    # node whose connection was lost.
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
    # The subscriptions were made for the predecessor's pid, and a nodedown may have been missed.
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
    # They are counted only for somebody.
    Telemetry.connector_certificates(began, state.key, began && Telemetry.count(certificates))
    note_use(state)
  end

  def handle_info({:dead, 1, _node, parts}, state) do
    began = Telemetry.began()
    certified = Certificates.certify_parts(state.key, parts)
    Telemetry.connector_certificates(began, state.key, certified)
    note_use(state)
  end

  def handle_info({:timeout, idle, :idle}, %{pace: %Pace{idle: idle}} = state) do
    # Callers wait for a ping, and what was not sent is not in the tables any more.
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

  # The node is not back, or does not answer.
  def handle_info({:timeout, timer, :grace}, %{grace: {:held, timer}} = state) do
    state |> give_up_ping() |> expire() |> request()
  end

  # Cancelled too late.
  def handle_info({:timeout, _timer, :grace}, state), do: {:noreply, state}

  # The connection is gone, and the nodedown tells when to act on it.
  def handle_info({:DOWN, proxy, _, _, :noconnection}, %{proxy: proxy, key: key} = state)
      when key != ZenMonitor.Local do
    {:noreply, %{state | proxy: nil}}
  end

  def handle_info({:DOWN, proxy, _, _, _reason}, %{proxy: proxy} = state) do
    state = expire(%{state | proxy: nil})
    Compatibility.penalize(state.key, 1)
    request(state)
  end

  # So is it here, and a ping that was cut off tells nothing of the node.
  def handle_info({:pong, pid, :noconnection, _life}, %{ping: {pid, _, _}, key: key} = state)
      when key != ZenMonitor.Local do
    {:noreply, state}
  end

  def handle_info({:pong, pid, pong, life}, %{ping: {pid, _, _}} = state) do
    state |> answered(pong, life) |> request()
  end

  # Its call may wait for the connection longer than for the answer.
  def handle_info({:ping_timeout, pid}, %{ping: {pid, _, _}} = state) do
    Process.exit(pid, :kill)
    state |> answered(:error, nil) |> request()
  end

  # Of a ping that was given up.
  def handle_info({:pong, pid, _pong, _life}, state) when is_pid(pid), do: {:noreply, state}
  def handle_info({:ping_timeout, pid}, state) when is_pid(pid), do: {:noreply, state}

  # The comings and goings of other nodes.
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

      # The end of the ping asks for the next one.
      {:pending, state} ->
        {:noreply, state}

      # So does its `:nodedown`, its return, or the end of the grace.
      {:away, state} ->
        {:noreply, state}
    end
  end

  defp swept(%{unsent: nil, grace: :none} = state) do
    if Native.connector_rest(state.key),
      do: note_use(%{state | pace: Pace.rest(state.pace)}),
      else: request(state)
  end

  # What was not sent is offered again, and what is held resumed further, after a gap.
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

  # Once, until the node takes something again.
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

  # What a Proxy was not sent before it died is due like what it was.
  defp expire(state) do
    Native.connector_confirm(state.key)
    Native.connector_expire(state.key)
    forget_proxy(%{state | grace: Grace.give_up(state.grace)})
  end

  defp forget_proxy(state) do
    if state.proxy, do: Process.demonitor(state.proxy, [:flush])
    %{state | proxy: nil, unsent: nil}
  end

  # A compatible node is one whose Proxy is being monitored: that is the only way to learn that it
  # is not compatible any more.
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
      connector = self()
      pid = spawn(fn -> send(connector, pong(Address.node_name(key))) end)
      timer = Process.send_after(self(), {:ping_timeout, pid}, @ping_timeout)
      {:pending, %{state | ping: {pid, timer, attempt}}}
    else
      away(Compatibility.cached(key), state)
    end
  end

  # Its Proxy's `:DOWN` comes first, and what is new must not fire before the `:nodedown` has said whether it
  # is held.
  defp away(:compatible, state), do: {:away, state}

  defp away(_cached, state) do
    Compatibility.unavailable(state.key)
    {if(state.grace == :none, do: :incompatible, else: :away), state}
  end

  defp pong(node) do
    with {:ok, version} <- Wire.ping({Proxy, node}, @ping_timeout),
         life when life != :noconnection <- Grace.life(node) do
      {:pong, self(), {:ok, version}, life}
    else
      failure -> {:pong, self(), failure, nil}
    end
  end

  defp answered(%{key: key, ping: {_, timer, attempt}} = state, pong, life) do
    Process.cancel_timer(timer)

    case pong do
      {:ok, version} ->
        Compatibility.compatible(key)
        grace = Grace.recognize(state.grace, key, life)
        # It may have one already: a Connector that was about to retire has made the cache forget.
        proxy = state.proxy || Process.monitor({Proxy, Address.node_name(key)})
        reply(%{state | ping: nil, proxy: proxy, version: version, grace: grace}, :compatible)

      _failure ->
        state = if state.grace == :none, do: state, else: expire(state)
        Compatibility.penalize(key, attempt)
        reply(%{state | ping: nil}, :incompatible)
    end
  end

  defp give_up_ping(%{ping: nil} = state), do: state

  defp give_up_ping(%{ping: {pid, timer, _}} = state) do
    Process.exit(pid, :kill)
    Process.cancel_timer(timer)
    reply(%{state | ping: nil}, :incompatible)
  end

  defp reply(state, compatibility) do
    for caller <- state.callers, do: GenServer.reply(caller, compatibility)
    %{state | callers: []}
  end
end
