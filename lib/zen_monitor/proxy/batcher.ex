defmodule ZenMonitor.Proxy.Batcher do
  @moduledoc """
  Sends death certificates to one subscribed Connector, a batch at a time.

  At most `chunk_size/0` certificates go out in any window of one `sweep_interval/0`. Until then they
  go out at once, or when there are many, together with those of the next two milliseconds. While a Batcher
  sleeps, a few are sent by the Proxy, without waking it.

  ## Slow nodes

  A message that the connection does not take is kept and offered again a few milliseconds later. At
  most about `max_pending_certificates` wait because of that. Who dies then keeps its row in the
  subscription table, which it has anyway, and is reported when all else has been sent: with its reason,
  if that is short and one of a few, otherwise with `:nodedown`.
  """

  # The certificates wait in the connector's native outbox, which wakes the Batcher. The Batcher only
  # keeps the pace.
  #
  # Invariants:
  #
  # - Certificates that were taken stay in the outbox until they are sent. A successor sends them first, perhaps again.
  # - A Batcher at rest has no timer to sweep, and will be woken. A Batcher that is not at rest has a timer.
  # - It stops when its connector is detached. It asks for that when it has been idle for long. If the
  #   connector comes back, it gets another record in the subscription table, and another Batcher.
  # - It monitors its connector in place of the Proxy, which a busy connection must not suspend. When the connector
  #   is down, the Batcher ends, which tells the Proxy. The Proxy itself notices the end of a connection.
  # - It sends only over the connection for which it was started. OTP delivers the `:DOWN` of the connector before
  #   anything can be sent over the next connection, so the mailbox is searched for it before each message.

  # The Proxy starts it, and replaces it when it dies.
  use ZenMonitor.Stage, restart: :temporary, shutdown: :brutal_kill

  import ZenMonitor.Setting

  alias ZenMonitor.{Config, Native, Pace, Proxy, StandIn, Telemetry, Wire}

  require Logger

  # `unsent` is a message that the connection has refused, with how many certificates it has. `refused` is up to when
  # the outbox was told of the refusal, in native units of monotonic time.
  @enforce_keys [:connector, :native, :pace]
  defstruct [
    :connector,
    :native,
    :pace,
    connected?: true,
    unsent: nil,
    refused: nil,
    shedding?: false
  ]

  setting(:sweep_interval, :batcher_sweep_interval, pos_integer, """
  The interval in which at most one `chunk_size/0` of certificates goes out, in milliseconds.
  """)

  setting(:chunk_size, :batcher_chunk_size, pos_integer, """
  How many certificates go out at most in any window of one `sweep_interval/0`.
  """)

  setting(:lookup_timeout, :batcher_lookup_timeout, pos_integer, """
  How long `get/1` waits, in milliseconds.
  """)

  @doc """
  Returns the Batcher of a Connector, and starts it if there is none.

  Exits when that takes longer than `lookup_timeout/0`, or when it cannot be started because the
  supervision tree is just being restarted.
  """
  @spec get(connector :: pid) :: pid
  def get(connector) when is_pid(connector) do
    Proxy.batcher(connector, lookup_timeout()) || exit({:noproc, {__MODULE__, :get, [connector]}})
  end

  @doc """
  Enqueues a death certificate for the Connector of this Batcher.

  The reason is sent as it is, it is not truncated. Get the Batcher anew for each certificate: one
  that has retired in the meantime sends nothing.
  """
  @spec enqueue(batcher :: pid, ZenMonitor.destination(), reason :: term) :: :ok
  def enqueue(batcher, destination, reason) do
    GenServer.cast(batcher, {:enqueue, destination, reason})
  end

  @doc false
  def supervisor, do: ZenMonitor.Proxy.BatcherSupervisor

  @doc false
  def start(connector, native) do
    DynamicSupervisor.start_child(supervisor(), {__MODULE__, {connector, native}})
  end

  @doc false
  def start_link({_connector, _native} = arg) do
    GenServer.start_link(__MODULE__, arg, hibernate_after: Pace.hibernate_after())
  end

  @impl true
  def init({connector, native}) do
    succeeds = Native.proxy_answer_certificates(native)
    if succeeds, do: Telemetry.restarted(__MODULE__, {connector, native})
    pace = Pace.new(:batcher, Native.proxy_window(native), succeeds)
    {:ok, %__MODULE__{connector: connector, native: native, pace: pace}, {:continue, :monitor}}
  end

  @impl true
  def handle_continue(:monitor, state) do
    # If it is not connected, the Proxy is about to see that.
    connected? = Proxy.connected?(node(state.connector))

    if connected? do
      # A busy connection suspends a process that monitors. What waits meanwhile waits because of the connection.
      withhold(state, 0)
      Process.monitor(state.connector)
    end

    rest(%{state | connected?: connected?})
  end

  @impl true
  def handle_cast({:enqueue, destination, reason}, state) do
    Native.proxy_enqueue(state.native, :erlang.term_to_binary({destination, reason}))
    {:noreply, state}
  end

  def handle_cast(message, state), do: super(message, state)

  @impl true
  # It is the Proxy that subscribes, so the Proxy alone knows that nothing comes in between.
  def handle_info({:timeout, idle, :idle}, %{pace: %Pace{idle: idle}} = state) do
    Proxy.retire(state.connector)
    {:noreply, %{state | pace: Pace.idle(state.pace, false)}}
  end

  # Its connector has no subscription left. If it does not rest, it will see that when it does.
  def handle_info(:unused, %{pace: %Pace{resting?: true} = pace} = state) do
    {:noreply, %{state | pace: Pace.idle(pace, Native.proxy_is_unused(state.native))}}
  end

  def handle_info(:unused, state), do: {:noreply, state}

  def handle_info({:DOWN, _, :process, connector, :noconnection}, %{connector: connector} = state) do
    {:noreply, %{state | connected?: false}}
  end

  def handle_info({:DOWN, _, :process, connector, _}, %{connector: connector} = state) do
    {:stop, {:shutdown, :connector_down}, state}
  end

  def handle_info(message, state), do: super(message, state)

  defp sweep(allowance, state) do
    began = Telemetry.began()
    # The limits of truncation are noted as often as other settings are read.
    Config.note_truncation()
    size = Pace.message_size(allowance)

    case next_message(state, size) do
      :closed -> {:stop, :normal, state}
      next -> next |> deliver(state) |> delivered(next, began, allowance)
    end
  end

  # The message, and how many certificates are in it.
  defp next_message(%{unsent: nil, native: native}, size) do
    version = native |> Native.proxy_version() |> Wire.current()

    case take(native, version, size) do
      :closed -> :closed
      {certificates, amount} -> {Wire.dead(version, certificates), amount}
    end
  end

  defp next_message(%{unsent: unsent}, _size), do: unsent

  defp delivered({:ok, state}, {_message, sent}, began, allowance) do
    Telemetry.batcher_sweep(began, state.connector, state.native, sent)
    pace = Pace.enter(state.pace, sent)
    full? = sent >= Pace.message_size(allowance)
    state = %{state | pace: pace, unsent: nil, refused: nil}
    rest(state, if(full?, do: max(allowance - sent, 0), else: 0))
  end

  defp delivered({:nosuspend, state}, {_message, amount} = next, _began, _allowance) do
    now = System.monotonic_time()
    unused = unused(state, amount, now)

    if withhold(state, unused) do
      refused = if unused > 0, do: now, else: state.refused
      request(report(%{state | unsent: next, refused: refused}))
    else
      {:stop, :normal, state}
    end
  end

  # How much of the budget the connection has let go by since that was last told.
  defp unused(%{unsent: nil}, amount, _now), do: amount

  defp unused(%{refused: refused}, _amount, now) do
    interval = System.convert_time_unit(sweep_interval(), :millisecond, :native)
    div((now - refused) * chunk_size(), interval)
  end

  defp withhold(state, unused) do
    Native.proxy_withhold(state.native, unused, Config.limit(:max_pending_certificates))
  end

  defp report(state) do
    shed = Native.proxy_shed(state.native)
    Telemetry.certificates_shed(node(state.connector), shed)
    if shed > 0, do: warn(state), else: state
  end

  # It warns once, until everything that waits has been sent.
  defp warn(%{shedding?: true} = state), do: state

  defp warn(state) do
    Logger.warning(
      "#{node(state.connector)} does not take death certificates, and :max_pending_certificates " <>
        "wait for it. It will be told later of what dies until then, perhaps with the reason :nodedown"
    )

    %{state | shedding?: true}
  end

  # Certificates are taken in slices, so that no call holds its scheduler for long.
  defp take(native, version, limit) do
    case Native.proxy_take(native, version, limit) do
      :closed -> :closed
      :bulky -> native |> Native.proxy_take_bulky(version, limit) |> take_more(native, version)
      taken -> take_more(taken, native, version)
    end
  end

  defp take_more({certificates, amount, 0}, _native, _version), do: {certificates, amount}

  defp take_more({certificates, amount, left}, native, version) do
    case take(native, version, left) do
      :closed -> :closed
      {more, added} -> {certificates ++ more, amount + added}
    end
  end

  # Of what is not sent because the connection is gone, the Proxy is about to take care.
  defp deliver({_message, 0}, state), do: {:ok, state}
  defp deliver(_next, %{connected?: false} = state), do: {:ok, state}

  defp deliver({message, _amount}, %{connector: connector} = state) do
    receive do
      {:DOWN, _, :process, ^connector, :noconnection} -> {:ok, %{state | connected?: false}}
    after
      0 ->
        case :erlang.send(connector, message, [:nosuspend, :noconnect]) do
          :nosuspend -> {:nosuspend, state}
          _ -> {:ok, state}
        end
    end
  end

  defp rest(state, allowance \\ 0) do
    cond do
      Native.proxy_sent(state.native) ->
        StandIn.note(:batcher)
        pace = state.pace |> Pace.rest() |> Pace.idle(Native.proxy_is_unused(state.native))
        {:noreply, %{report(state) | pace: pace, shedding?: false}}

      allowance > 0 ->
        sweep(allowance, state)

      true ->
        request(state)
    end
  end
end
