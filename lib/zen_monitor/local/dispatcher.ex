defmodule ZenMonitor.Local.Dispatcher do
  @moduledoc """
  Delivers `:DOWN` messages, at most `demand_amount/0` of them per `demand_interval/0`.

  Subscribers with messages waiting take turns, one message each. Each gets its messages in the order in which they
  fell due. No subscriber gets more than 100 in a row, or a tenth of `demand_amount/0`, or what the budget
  allows in 2 ms, whichever is most. If more than twice that waits for it, all of it is spread over the interval, so
  that its other messages get in between. A bulk message counts as one.
  """
  use ZenMonitor.Stage

  import ZenMonitor.Setting

  alias ZenMonitor.{Local, Native, Pace, StandIn, Telemetry}

  # The longest time that a process can wait, in ms.
  @longest_timeout 0xFFFF_FFFF

  setting(:demand_interval, :demand_interval, pos_integer, """
  The interval in which at most one `demand_amount/0` is delivered, in milliseconds.
  """)

  setting(:demand_amount, :demand_amount, pos_integer, """
  How many `:DOWN` messages are delivered at most in any window of one `demand_interval/0`.
  """)

  setting(:pacing, :pacing, pos_integer | false, """
  In how many slices one `demand_amount/0` is delivered, or `false` to bound what each subscriber gets.

  With `false`, the default, all subscribers together may get the whole budget at once, and each of them
  100 messages or a tenth of the budget. If more than twice that waits for one of them, all of it is
  spread evenly.

  Slices are for all subscribers together. They are spread over the `demand_interval/0`, so that no process
  receives more than `demand_amount / slices` messages in a row. None is shorter than 2 ms, whatever this
  number. With 1, one subscriber may get the whole budget at once.

  Periodic sweeping knows neither: it delivers the whole budget at each tick.
  """)

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
    pace = Pace.new(:dispatcher, Native.dispatcher_window(), succeeds)
    {:ok, %{pace: pace}, {:continue, :request}}
  end

  @impl GenServer
  def handle_continue(:request, state), do: request(state)

  @impl GenServer
  def handle_info(:timeout, state), do: {:noreply, state, :hibernate}
  def handle_info(:sweep, %{pace: %{resting?: true}} = state), do: idle(state)
  def handle_info(message, state) when message in [:wake, :sweep], do: super(message, state)

  def handle_info(other, state) do
    {:noreply, state} = super(other, state)
    idle(state)
  end

  # What was sent is entered as one: then there is room for as much again at once, and not for one slice after the
  # other.
  defp sweep(allowance, state) do
    began = Telemetry.began()
    delivered = deliver(allowance, Pace.share(), 0)
    Telemetry.delivery(began, delivered)
    rest(%{state | pace: Pace.enter(state.pace, delivered)})
  end

  # It delivers a slice at a time, so that no call holds its scheduler for long.
  defp deliver(left, share, delivered) do
    {sent, more?} = deliver_slice(left, share)
    delivered = delivered + sent
    if more?, do: deliver(left - sent, share, delivered), else: delivered
  end

  defp deliver_slice(limit, share) do
    case Native.dispatcher_deliver(node(), limit, share) do
      :bulky -> Native.dispatcher_deliver_bulky(node(), limit, share)
      delivered -> delivered
    end
  end

  defp rest(state) do
    if Native.dispatcher_rest() do
      StandIn.note(:dispatcher)
      idle(%{state | pace: Pace.rest(state.pace)})
    else
      request(state)
    end
  end

  # By then a Dispatcher that ticks, as that of version 2, would have found its queue empty so many times.
  defp idle(state) do
    {:noreply, state, min(Local.hibernation_threshold() * demand_interval(), @longest_timeout)}
  end
end
