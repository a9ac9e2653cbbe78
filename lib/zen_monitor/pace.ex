defmodule ZenMonitor.Pace do
  @moduledoc false
  # When a stage may sweep its queue, and how much it may send then; and when it has been of no use
  # for so long that it may stop.
  #
  # On the leading edge, which is the default, a sweep runs as soon as the window of the last interval
  # has room (see ZenMonitor.Window), and a gap of 2 ms after the last one: an idle stage sweeps at
  # once, and a trickle is gathered into a bounded number of messages.
  #
  # Delivery on the leading edge is bounded for each subscriber as well: a burst at once, and from then on
  # what flows if the budget is spread evenly (`share/0`).
  #
  # With pacing, a sweep sends a slice of the budget at most, and the gap is a slice of the interval.
  #
  # In periodic sweeping a sweep runs only one interval after the last, or whole intervals later. A
  # tick that would find nothing is left out, so a stage with nothing to do has no timer here either.

  alias ZenMonitor.{Config, Window}

  # The gap between two sweeps, in ms; half of it is as short as a timer can be. A short interval is
  # divided into so many gaps instead.
  @gap 2
  @gaps 50
  # A large chunk goes as several messages: what is built and encoded at once then stays in the
  # processor's cache, other messages to the node get in between, and the node decodes each without
  # a break.
  @message_size 5_000
  # A subscriber that was left alone is given as much at once, or this part of the budget if that is more.
  @burst 100
  @bursts 10
  # What a predecessor may have sent: more than any budget.
  @full 0xFFFF_FFFF

  @enforce_keys [:stage, :window, :began, :swept]
  defstruct [:stage, :window, :began, :swept, :armed, :idle]

  # `began` is when the last sweep began, or a little earlier if it was late. `swept` is when the last
  # that sent anything ended; ticks are counted from there. `armed` is when the `:sweep` that is under
  # way comes. `idle` is the timer of `idle_timeout`.
  @type t :: %__MODULE__{
          stage: Config.stage(),
          window: Window.t(),
          began: integer | nil,
          swept: integer,
          armed: integer | nil,
          idle: reference | nil
        }

  @typedoc """
  At most `amount` items in any `interval`, at most `slice` in one sweep, and from one sweep to the
  next about a `gap`. Times are in native units.
  """
  @type limits :: %{
          sweep: Config.sweep(),
          interval: pos_integer,
          amount: pos_integer,
          slice: pos_integer,
          gap: non_neg_integer
        }

  @doc """
  The pace of a stage that begins now. One that succeeds another does not know what that has sent a
  moment ago, and takes it for a whole budget.
  """
  @spec new(Config.stage(), succeeds :: boolean) :: t
  def new(stage, false), do: first(stage, now())
  def new(stage, true), do: stage |> first(now()) |> enter(@full)

  @doc false
  # As `new/2` for a stage without a predecessor, at a time of the caller's choice.
  @spec first(Config.stage(), now :: integer) :: t
  def first(stage, now) do
    %__MODULE__{stage: stage, window: Window.new(), began: nil, swept: now}
  end

  @doc """
  Has a stage sweep with what it may send now, or wait for the `:sweep` that tells when to ask again. Its
  state has its pace.
  """
  @spec run(state, (allowance :: pos_integer, state -> answer)) :: answer | {:noreply, state}
        when state: %{:pace => t, optional(atom) => term}, answer: tuple
  def run(%{pace: pace} = state, sweep) do
    case request(pace) do
      {0, pace} -> {:noreply, %{state | pace: pace}}
      {allowance, pace} -> sweep.(allowance, %{state | pace: pace})
    end
  end

  @doc """
  Asks for a sweep: how much the caller may send, at once. For 0, it will be sent `:sweep` when it is
  to ask again.
  """
  @spec request(t) :: {allowance :: non_neg_integer, t}
  def request(pace) do
    now = now()

    case plan(pace, limits(pace.stage), now) do
      {:sweep, allowance, pace} -> {allowance, pace}
      {:wait, until} -> {0, arm(pace, now, until)}
    end
  end

  @typedoc """
  What one subscriber may be given: `burst` at once, and one more every `each` nanoseconds.
  """
  @type share :: {each :: pos_integer, burst :: pos_integer} | :all

  @doc """
  The share of each subscriber in what is delivered. With pacing or in periodic sweeping, which have
  their own ways to spread the budget, a subscriber may be given all of it.
  """
  @spec share() :: share
  def share do
    if Config.get(:pacing) || Config.sweep(:dispatcher) == :periodic do
      :all
    else
      amount = Config.get(:demand_amount)
      interval = System.convert_time_unit(Config.get(:demand_interval), :millisecond, :nanosecond)
      {max(1, div(interval, amount)), max(@burst, ceil_div(amount, @bursts))}
    end
  end

  @doc "How much of an allowance goes to another node in one message."
  @spec message_size(allowance :: non_neg_integer) :: non_neg_integer
  def message_size(allowance), do: min(allowance, @message_size)

  @doc "Notes that so many items have just been sent."
  @spec enter(t, amount :: non_neg_integer) :: t
  def enter(pace, amount), do: enter(pace, limits(pace.stage), now(), amount)

  @doc """
  Notes that a stage has come to rest. If it stays `unused` for `idle_timeout`, it will be sent
  `{:timeout, idle, :idle}`; not sooner than an interval after its last sweep, so that who takes its
  place need not know of that.
  """
  @spec rest(t, unused :: boolean) :: t
  def rest(pace, unused) do
    if pace.idle, do: :erlang.cancel_timer(pace.idle)
    timeout = if unused, do: Config.get(:idle_timeout), else: :infinity
    %{pace | idle: start_idle_timer(timeout, pace.stage)}
  end

  @doc false
  # What `request/1` decides, at a time and under limits of the caller's choice.
  @spec plan(t, limits, now :: integer) ::
          {:sweep, pos_integer, t} | {:wait, until :: integer}
  def plan(pace, limits, now) do
    %{interval: interval, amount: amount} = limits
    opens = max(turn(pace, limits, now), Window.opens(pace.window, now, interval, amount))

    if opens > now do
      {:wait, opens}
    else
      room = Window.room(pace.window, now, interval, amount)
      {:sweep, min(room, limits.slice), %{pace | began: begin(pace, limits, now), armed: nil}}
    end
  end

  @doc false
  @spec enter(t, limits, now :: integer, amount :: non_neg_integer) :: t
  def enter(pace, _limits, _now, 0), do: pace

  def enter(pace, limits, now, amount) do
    %{pace | window: Window.enter(pace.window, now, limits.interval, amount), swept: now}
  end

  # The earliest time of the next sweep, were there no budget.
  defp turn(pace, %{sweep: :periodic, interval: interval}, now) do
    # A tick is not missed by the message that tells of it.
    from = min(now, pace.armed || now)
    pace.swept + max(1, ceil_div(from - pace.swept, interval)) * interval
  end

  defp turn(%{began: nil}, _limits, now), do: now
  defp turn(pace, limits, _now), do: pace.began + limits.gap

  # Lateness is made up for, but not so that two sweeps come in a row.
  defp begin(%{began: nil}, _limits, now), do: now
  defp begin(pace, %{gap: gap}, now), do: max(pace.began + gap, now - div(gap, 2))

  # Until then every request is answered by the `:sweep` that is under way.
  defp arm(%{armed: armed} = pace, now, _until) when armed != nil and now < armed, do: pace

  defp arm(pace, now, until) do
    ms = ceil_div(until - now, native(1))
    Process.send_after(self(), :sweep, ms)
    %{pace | armed: until}
  end

  defp start_idle_timer(:infinity, _stage), do: nil

  defp start_idle_timer(timeout, stage) do
    interval = System.convert_time_unit(limits(stage).interval, :native, :millisecond)
    :erlang.start_timer(max(timeout, interval), self(), :idle)
  end

  defp limits(:connector),
    do: limits(:connector, :connector_sweep_interval, :connector_chunk_size)

  defp limits(:batcher), do: limits(:batcher, :batcher_sweep_interval, :batcher_chunk_size)

  defp limits(:dispatcher) do
    limits = limits(:dispatcher, :demand_interval, :demand_amount)

    case min(Config.get(:pacing) || 1, div(limits.interval, native(@gap))) do
      slices when slices > 1 and limits.sweep == :leading_edge ->
        %{limits | slice: ceil_div(limits.amount, slices), gap: div(limits.interval, slices)}

      _ ->
        limits
    end
  end

  defp limits(stage, interval, amount) do
    interval = native(Config.get(interval))
    amount = Config.get(amount)
    gap = min(native(@gap), div(interval, @gaps))
    %{sweep: Config.sweep(stage), interval: interval, amount: amount, slice: amount, gap: gap}
  end

  defp native(ms), do: System.convert_time_unit(ms, :millisecond, :native)

  defp ceil_div(number, divisor), do: -Integer.floor_div(-number, divisor)

  defp now, do: System.monotonic_time()
end
