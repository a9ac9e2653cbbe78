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
  next connection, or due too if there is none.
  """
  # Local.Connectors starts it, and starts it again when it dies.
  use GenServer, restart: :temporary

  alias ZenMonitor.{Config, Local.Connectors, Native, Pace, Proxy}

  @typedoc "What the cache says of a node."
  @type cached_compatibility ::
          :miss | :compatible | :unavailable | :incompatible | {:expired, attempt :: pos_integer}

  # Instructions in one message.
  @message_size 5_000
  @ping_timeout 5_000
  @base_penalty 1_000
  @maximum_penalty 60_000

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
  def get_for_node(node), do: node |> key() |> Connectors.get()

  @doc """
  Monitors `destination` for `subscriber` under `ref`, which must be a fresh reference of this node.
  See `ZenMonitor.monitor/1`.
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

  def monitor(pid, ref, subscriber) when is_pid(pid) do
    place(subscriber, node(pid), pid, ref)
  end

  def monitor({name, node}, ref, subscriber) when is_atom(name) and is_atom(node) do
    place(subscriber, key(node), name, ref)
  end

  def monitor(name, ref, subscriber) when is_atom(name) do
    place(subscriber, ZenMonitor.Local, name, ref)
  end

  def monitor(other, _ref, _subscriber), do: ZenMonitor.find_node(other)

  @doc """
  The references under which `subscriber` monitors `destination` and that are not due.
  """
  @spec monitors(ZenMonitor.destination(), subscriber :: pid) :: [reference]
  def monitors(destination, subscriber) do
    target = if is_tuple(destination), do: elem(destination, 0), else: destination
    Native.monitors(subscriber, destination |> ZenMonitor.find_node() |> key(), target)
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
  def cached_compatibility(node), do: node |> key() |> cached()

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

  @doc """
  The interval in which at most one `chunk_size/0` of instructions goes to a node, in milliseconds.
  """
  @spec sweep_interval() :: pos_integer
  def sweep_interval, do: Config.get(:connector_sweep_interval)

  @doc """
  Changes `sweep_interval/0`. Raises `ArgumentError` unless it is a positive integer
  below 2³².
  """
  @spec sweep_interval(pos_integer) :: :ok
  def sweep_interval(value), do: Config.put(:connector_sweep_interval, value)

  @doc """
  How many instructions go to a node at most in any window of one `sweep_interval/0`.
  """
  @spec chunk_size() :: pos_integer
  def chunk_size, do: Config.get(:connector_chunk_size)

  @doc """
  Changes `chunk_size/0`. Raises `ArgumentError` unless it is a positive integer
  below 2³².
  """
  @spec chunk_size(pos_integer) :: :ok
  def chunk_size(value), do: Config.put(:connector_chunk_size, value)

  # The key of a node in the tables is its name, except for this node, whose name changes when
  # distribution is started.
  defp key(node) when node == node(), do: ZenMonitor.Local
  defp key(node) when is_atom(node), do: node

  defp key(other) do
    raise ArgumentError, "expected the name of a node, got: #{inspect(other)}"
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
    case Native.monitor(subscriber, key, target, ref) do
      :ok -> :ok
      {:start, key} -> Connectors.start(key)
    end
  end

  defp cached(key) do
    case Native.compatibility(key) do
      {:incompatible, enforce_until, attempt} ->
        if ZenMonitor.now() < enforce_until, do: :incompatible, else: {:expired, attempt}

      known ->
        known
    end
  end

  @doc false
  def start_link(key), do: GenServer.start_link(__MODULE__, key)

  @impl GenServer
  def init(key) do
    :net_kernel.monitor_nodes(true, node_type: :all)
    succeeds = Native.connector_answer(key)
    state = %{key: key, pace: Pace.new(:connector, succeeds), proxy: nil}
    {:ok, state, {:continue, if(succeeds, do: :succeed, else: :request)}}
  end

  @impl GenServer
  def handle_continue(:succeed, state) do
    # The subscriptions were made for the predecessor's pid, and a nodedown may have been missed.
    unless connected?(state), do: disconnect(state)
    resubscribe(state.key)
    request(state)
  end

  def handle_continue(:request, state), do: request(state)

  @impl GenServer
  def handle_call(:connect, _from, state) do
    {compatibility, state} = ensure_compatibility(state)
    {:reply, compatibility, state, :hibernate}
  end

  @impl GenServer
  def handle_info(message, state) when message in [:wake, :sweep], do: request(state)

  def handle_info({:dead, _node, certificates}, state) do
    certify(state.key, certificates)
    rest(state)
  end

  def handle_info({:timeout, idle, :idle}, %{pace: %Pace{idle: idle}} = state) do
    if Native.connector_retire(state.key), do: {:stop, :normal, state}, else: request(state)
  end

  def handle_info({:nodedown, node, _info}, %{key: node} = state) do
    state |> disconnect() |> request()
  end

  # The connection is gone, and the nodedown tells when to act on it.
  def handle_info({:DOWN, proxy, _, _, :noconnection}, %{proxy: proxy, key: key} = state)
      when key != ZenMonitor.Local do
    {:noreply, %{state | proxy: nil}}
  end

  def handle_info({:DOWN, proxy, _, _, _reason}, %{proxy: proxy} = state) do
    %{state | proxy: nil} |> expire() |> penalize(1) |> request()
  end

  def handle_info(_other, state), do: {:noreply, state, :hibernate}

  defp request(state) do
    case Pace.request(state.pace) do
      {0, pace} -> {:noreply, %{state | pace: pace}}
      {allowance, pace} -> sweep(allowance, %{state | pace: pace})
    end
  end

  defp sweep(allowance, state) do
    state =
      case ensure_compatibility(state) do
        {:compatible, state} -> send_chunk(allowance, state)
        {:incompatible, state} -> fail(state)
      end

    if Native.connector_rest(state.key), do: rest(state), else: request(state)
  end

  # A chunk or a batch of certificates leaves megabytes of garbage behind, and a Connector that has
  # nothing more to do would keep them.
  defp rest(state) do
    pace = Pace.rest(state.pace, Native.connector_is_unused(state.key))
    {:noreply, %{state | pace: pace}, :hibernate}
  end

  # A large chunk goes as several messages: what is built and encoded at once then stays in the
  # processor's cache, and other messages to the node get in between.
  defp send_chunk(0, state), do: state

  defp send_chunk(allowance, %{key: key} = state) do
    {instructions, emptied?} = take(key, node_name(key), min(allowance, @message_size))

    receive do
      {:nodedown, ^key, _info} ->
        withdraw(key)
        disconnect(state)
    after
      0 ->
        cast(key, instructions)
        Native.connector_confirm(key)

        sent = length(instructions)
        state = %{state | pace: Pace.enter(state.pace, sent)}
        if emptied?, do: state, else: send_chunk(allowance - sent, state)
    end
  end

  defp cast(_key, []), do: :ok

  defp cast(key, instructions) do
    ZenMonitor.gen_module().cast({Proxy, node_name(key)}, {:process, self(), instructions})
  end

  # A slice at a time, so that no single call holds the scheduler.
  defp take(_key, _name, 0), do: {[], false}

  defp take(key, name, limit) do
    case Native.connector_take(key, name, limit) do
      {slice, true} ->
        {slice, true}

      {slice, false} ->
        {more, emptied?} = take(key, name, limit - length(slice))
        {slice ++ more, emptied?}
    end
  end

  defp certify(_key, []), do: :ok

  defp certify(key, [_ | _] = certificates) do
    case Native.connector_certify(key, certificates) do
      {:ok, rest} -> certify(key, rest)
      {:bulky, rest} -> certify(key, Native.connector_certify_bulky(key, rest))
    end
  end

  defp certify(_key, _malformed), do: :ok

  # Nothing is sent for it, so the allowance does not matter.
  defp fail(state), do: if(Native.connector_fail(state.key), do: state, else: fail(state))

  defp withdraw(key), do: Native.connector_withdraw(key) || withdraw(key)

  defp resubscribe(key), do: Native.connector_resubscribe(key) || resubscribe(key)

  defp disconnect(state) do
    Native.set_compatibility(state.key, :unavailable, 0, 0)
    expire(state)
  end

  defp expire(state) do
    if state.proxy, do: Process.demonitor(state.proxy, [:flush])
    Native.connector_expire(state.key)
    %{state | proxy: nil}
  end

  # A compatible node is one whose Proxy is being monitored: that is the only way to learn that it
  # is not compatible any more.
  defp ensure_compatibility(state) do
    case cached(state.key) do
      :compatible when state.proxy != nil -> {:compatible, state}
      :incompatible -> {:incompatible, state}
      {:expired, attempt} -> ping(state, attempt + 1)
      _ -> ping(state, 1)
    end
  end

  defp ping(%{key: key} = state, attempt) do
    proxy = {Proxy, node_name(key)}

    cond do
      not connected?(state) ->
        Native.set_compatibility(key, :unavailable, 0, 0)
        {:incompatible, state}

      pong?(proxy) ->
        Native.set_compatibility(key, :compatible, 0, 0)
        {:compatible, %{state | proxy: state.proxy || Process.monitor(proxy)}}

      true ->
        {:incompatible, penalize(state, attempt)}
    end
  end

  defp pong?(proxy) do
    ZenMonitor.gen_module().call(proxy, :ping, @ping_timeout) == :pong
  catch
    :exit, _ -> false
  end

  defp penalize(state, attempt) do
    # The exponent is capped only so that the power stays small.
    penalty = min(@maximum_penalty, @base_penalty * Bitwise.bsl(1, min(attempt, 16)))
    Native.set_compatibility(state.key, :incompatible, ZenMonitor.now() + penalty, attempt)
    state
  end

  defp connected?(%{key: ZenMonitor.Local}), do: true
  # This node's own name has a Connector when a pid of a former life was monitored.
  defp connected?(%{key: node}), do: node == node() or node in Node.list(:connected)

  defp node_name(ZenMonitor.Local), do: node()
  defp node_name(node), do: node
end
