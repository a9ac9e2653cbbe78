defmodule ZenMonitor.Local.Dispatcher do
  @moduledoc """
  Delivers `:DOWN` messages, at most `demand_amount/0` of them per `demand_interval/0`.

  The subscribers that have messages waiting take turns, one message each; each gets its own in the
  order in which they fell due. No subscriber gets more than 100 in a row, or a tenth of
  `demand_amount/0` if that is more: the rest of its share is spread over the interval, so that its other
  messages get in between. A bulk message counts as one.
  """
  use ZenMonitor.Server

  alias ZenMonitor.{Config, Local, Native, Pace, Telemetry}

  # What a process can wait, in ms.
  @longest_timeout 0xFFFF_FFFF

  @doc """
  The interval in which at most one `demand_amount/0` is delivered, in milliseconds.
  """
  @spec demand_interval() :: pos_integer
  def demand_interval, do: Config.get(:demand_interval)

  @doc """
  Changes `demand_interval/0`. Raises `ArgumentError` unless it is a positive integer
  below 2³².
  """
  @spec demand_interval(pos_integer) :: :ok
  def demand_interval(value), do: Config.put(:demand_interval, value)

  @doc """
  How many `:DOWN` messages are delivered at most in any window of one `demand_interval/0`.
  """
  @spec demand_amount() :: pos_integer
  def demand_amount, do: Config.get(:demand_amount)

  @doc """
  Changes `demand_amount/0`. Raises `ArgumentError` unless it is a positive integer
  below 2³².
  """
  @spec demand_amount(pos_integer) :: :ok
  def demand_amount(value), do: Config.put(:demand_amount, value)

  @doc """
  In how many slices one `demand_amount/0` is delivered, or `false` to bound what each subscriber gets.

  With `false`, the default, all subscribers together may get the whole budget at once, and each of them
  100 messages or a tenth of the budget. The rest of what waits for it is spread evenly.

  Slices are for all subscribers together. They are spread over the `demand_interval/0`, so that no process
  receives more than `demand_amount / slices` messages in a row. None is shorter than 2 ms, whatever this
  number. With 1, one subscriber may get the whole budget at once.

  Periodic sweeping knows neither: it delivers the whole budget at each tick.
  """
  @spec pacing() :: pos_integer | false
  def pacing, do: Config.get(:pacing)

  @doc """
  Changes `pacing/0`. Raises `ArgumentError` unless it is `false` or a positive integer below 2³².
  """
  @spec pacing(pos_integer | false) :: :ok
  def pacing(value), do: Config.put(:pacing, value)

  @doc """
  The greatest number of `:DOWN` messages per second that the settings allow.
  """
  @spec maximum_mps() :: float
  def maximum_mps, do: demand_amount() * (1_000 / demand_interval())

  @doc false
  def start_link(_opts), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @impl GenServer
  def init(_opts) do
    succeeds = Native.dispatcher_answer()
    if succeeds, do: Telemetry.restarted(__MODULE__, nil)
    {:ok, Pace.new(:dispatcher, succeeds), {:continue, :request}}
  end

  @impl GenServer
  def handle_continue(:request, pace), do: request(pace)

  @impl GenServer
  def handle_info(message, pace) when message in [:wake, :sweep], do: request(pace)
  def handle_info(:timeout, pace), do: {:noreply, pace, :hibernate}

  def handle_info(other, pace) do
    {:noreply, pace} = super(other, pace)
    idle(pace)
  end

  defp request(pace) do
    case Pace.request(pace) do
      {0, pace} ->
        {:noreply, pace}

      {allowance, pace} ->
        began = Telemetry.began()
        {delivered, pace} = deliver(allowance, Pace.share(), pace, 0)
        Telemetry.delivery(began, delivered)
        rest(pace)
    end
  end

  # A slice at a time, so that no single call holds the scheduler.
  defp deliver(left, share, pace, delivered) do
    {sent, more?} = deliver_slice(left, share)
    {pace, delivered} = {Pace.enter(pace, sent), delivered + sent}
    if more?, do: deliver(left - sent, share, pace, delivered), else: {delivered, pace}
  end

  defp deliver_slice(limit, share) do
    case Native.dispatcher_deliver(node(), limit, share) do
      :bulky -> Native.dispatcher_deliver_bulky(node(), limit, share)
      delivered -> delivered
    end
  end

  defp rest(pace) do
    if Native.dispatcher_rest(), do: idle(pace), else: request(pace)
  end

  # A ticking Dispatcher would have found its queue empty so many times by then.
  defp idle(pace) do
    {:noreply, pace, min(Local.hibernation_threshold() * demand_interval(), @longest_timeout)}
  end
end
