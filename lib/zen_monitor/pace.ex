defmodule ZenMonitor.Pace do
  @moduledoc false
  # When a stage may sweep its queue, and how much it may send then; and when it has been of no use
  # for so long that it may stop.
  #
  # On the leading edge, which is the default, a sweep runs as soon as the window of the last interval
  # has room, and a gap of 2 ms after the last one: what comes fast is gathered into a bounded number of
  # messages. A stage that has found its queue empty, and has sent only a few in that time, needs no gap. Others
  # may then even send those few in its place, without waking it (`quota/1` and `ZenMonitor.StandIn`).
  #
  # The window is native and shared: a stage, and who sends in its place, draw on the same.
  #
  # Delivery on the leading edge is bounded for each subscriber as well: a burst at once, and from then on
  # what flows if the budget is spread evenly (`share/0`). If more than two bursts wait, there is none.
  #
  # With pacing, a sweep sends a slice of the budget at most, and the gap is a slice of the interval.
  #
  # In periodic sweeping a sweep runs only one interval after the last, or whole intervals later. A
  # tick that would find nothing is left out, so a stage with nothing to do has no timer here either.

  alias ZenMonitor.{Config, Native}

  @ms 1_000_000
  # The gap between two sweeps, in ms; half of it is as short as a timer can be. A short interval is
  # divided into so many gaps instead.
  @gap 2
  @gaps 5
  # So many are sent without a gap.
  @few 8
  # A large chunk goes as several messages: what is built and encoded at once then stays in the
  # processor's cache, other messages to the node get in between, and the node decodes each without
  # a break.
  @message_size 5_000
  # A subscriber that was left alone is given as much at once, or this part of the budget, or what flows in a gap.
  @burst 100
  @bursts 10
  # In ms.
  @hibernate_after 1_000
  # What a predecessor may have sent: more than any budget.
  @full 0xFFFF_FFFF

  @enforce_keys [:stage, :window, :began, :swept]
  defstruct [:stage, :window, :began, :swept, :armed, :idle, resting?: false]

  # - `began`: when the last sweep began, or a little earlier if it was late. It is nil when the next needs no gap.
  # - `swept`: when the last sweep that sent anything ended. Ticks are counted from there.
  # - `armed`: when the `:sweep` that is under way comes.
  # - `idle`: the timer of `idle_timeout`.
  # - `resting?`: the queue was empty, and the bell will wake the stage.
  @type t :: %__MODULE__{
          stage: Config.stage(),
          window: reference,
          began: integer | nil,
          swept: integer,
          armed: integer | nil,
          idle: reference | nil,
          resting?: boolean
        }

  @typedoc """
  At most `amount` items in any `interval`, at most `slice` in one sweep, and from one sweep to the
  next about a `gap`, or none after `few`. Times are in nanoseconds.
  """
  @type limits :: %{
          sweep: Config.sweep(),
          interval: pos_integer,
          amount: pos_integer,
          slice: pos_integer,
          gap: non_neg_integer,
          few: non_neg_integer
        }

  @doc """
  The pace of a stage that begins now, with what is known of what was sent. One that succeeds another does not
  know what that has sent a moment ago, and takes it for a whole budget.
  """
  @spec new(Config.stage(), window :: reference, succeeds :: boolean) :: t
  def new(stage, window, false), do: first(stage, window, now())
  def new(stage, window, true), do: stage |> first(window, now()) |> enter(@full)

  @doc false
  # As `new/3` for a stage without a predecessor, at a time of the caller's choice.
  @spec first(Config.stage(), window :: reference, now :: integer) :: t
  def first(stage, window, now) do
    %__MODULE__{stage: stage, window: window, began: nil, swept: now}
  end

  @typedoc """
  What may be sent in place of a stage that sleeps: a budget for each interval, and fewer than a few in the last gap.
  If `few` is 0, that is nothing.
  """
  @type quota ::
          {interval :: pos_integer, budget :: pos_integer, gap :: non_neg_integer,
           few :: non_neg_integer}

  @doc """
  What may be sent in place of a stage, if it sleeps: nothing with pacing and in periodic sweeping, where all is
  sent when it is time.
  """
  @spec quota(Config.stage()) :: quota
  def quota(stage) do
    limits = limits(stage)
    few = if limits.sweep == :leading_edge, do: limits.few, else: 0
    {limits.interval, limits.amount, limits.gap, few}
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
    pace = %{pace | resting?: false}

    case plan(pace, limits(pace.stage), now) do
      {:sweep, allowance, pace} -> {allowance, pace}
      {:wait, until} -> {0, arm(pace, now, until)}
    end
  end

  @typedoc """
  What one subscriber may be given: `burst` at once, or `flow` if more than two bursts wait, and one more every `each`
  nanoseconds.
  """
  @type share :: {each :: pos_integer, burst :: pos_integer, flow :: pos_integer} | :all

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
      each = each(amount)
      flow = flow(each)
      # A smaller burst would be given up before the next sweep, and lose what flows until then.
      {each, Enum.max([@burst, ceil_div(amount, @bursts), flow]), flow}
    end
  end

  @doc "How many `:DOWN`s flow from one sweep to the next, if the budget is spread evenly."
  @spec flow() :: pos_integer
  def flow, do: :demand_amount |> Config.get() |> each() |> flow()

  defp flow(each), do: ceil_div(@gap * @ms, each)
  defp each(amount), do: max(1, div(Config.get(:demand_interval) * @ms, amount))

  @doc "The milliseconds between two sweeps."
  @spec gap() :: pos_integer
  def gap, do: @gap

  @doc """
  After how many milliseconds without work a process that sends or receives chunks hibernates: a Connector, a Batcher, the
  Proxy and its holders. A chunk, or the messages of a mass exit, leave megabytes of garbage behind; and to wake from
  hibernation takes as long as most of their work.
  """
  @spec hibernate_after() :: pos_integer
  def hibernate_after, do: @hibernate_after

  @doc "How much of an allowance goes to another node in one message."
  @spec message_size(allowance :: non_neg_integer) :: non_neg_integer
  def message_size(allowance), do: min(allowance, @message_size)

  @doc "Notes that so many items have just been sent."
  @spec enter(t, amount :: non_neg_integer) :: t
  def enter(pace, amount), do: enter(pace, limits(pace.stage), now(), amount)

  @doc """
  Notes that a stage has found its queue empty, and will be woken.
  """
  @spec rest(t) :: t
  def rest(pace), do: rest_at(%{pace | resting?: true}, limits(pace.stage), now())

  @doc false
  @spec rest_at(t, limits, now :: integer) :: t
  def rest_at(%{began: nil} = pace, _limits, _now), do: pace

  def rest_at(pace, limits, now) do
    if Native.window_since(pace.window, now - limits.gap) <= limits.few,
      do: %{pace | began: nil},
      else: pace
  end

  @doc """
  Notes whether a stage has become `unused`. If it stays so for `idle_timeout`, it will be sent
  `{:timeout, idle, :idle}`; not sooner than an interval after its last sweep, so that who takes its
  place need not know of that.
  """
  @spec idle(t, unused :: boolean) :: t
  def idle(pace, unused) do
    if pace.idle, do: :erlang.cancel_timer(pace.idle)
    timeout = if unused, do: Config.get(:idle_timeout), else: :infinity
    %{pace | idle: start_idle_timer(timeout, pace.stage)}
  end

  @doc false
  # What `request/1` decides, at a time and under limits of the caller's choice.
  @spec plan(t, limits, now :: integer) ::
          {:sweep, pos_integer, t} | {:wait, until :: integer}
  def plan(pace, limits, now) do
    {room, opens} = Native.window_room(pace.window, now, limits.interval, limits.amount)
    opens = max(turn(pace, limits, now), opens)

    if opens > now do
      {:wait, opens}
    else
      {:sweep, min(room, limits.slice), %{pace | began: begin(pace, limits, now), armed: nil}}
    end
  end

  @doc false
  @spec enter(t, limits, now :: integer, amount :: non_neg_integer) :: t
  def enter(pace, _limits, _now, 0), do: pace

  def enter(pace, limits, now, amount) do
    Native.window_enter(pace.window, now, limits.interval, amount)
    %{pace | swept: now}
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

  defp arm(pace, _now, until) do
    # At that time, and not so long from now, which the VM counts from its next millisecond.
    Process.send_after(self(), :sweep, ceil_div(until, @ms), abs: true)
    %{pace | armed: until}
  end

  defp start_idle_timer(:infinity, _stage), do: nil

  defp start_idle_timer(timeout, stage) do
    :erlang.start_timer(max(timeout, div(limits(stage).interval, @ms)), self(), :idle)
  end

  defp limits(:connector),
    do: limits(:connector, :connector_sweep_interval, :connector_chunk_size)

  defp limits(:batcher), do: limits(:batcher, :batcher_sweep_interval, :batcher_chunk_size)

  defp limits(:dispatcher) do
    limits = limits(:dispatcher, :demand_interval, :demand_amount)

    case min(Config.get(:pacing) || 1, div(limits.interval, @gap * @ms)) do
      slices when slices > 1 and limits.sweep == :leading_edge ->
        %{
          limits
          | slice: ceil_div(limits.amount, slices),
            gap: div(limits.interval, slices),
            few: 0
        }

      _ ->
        limits
    end
  end

  defp limits(stage, interval, amount) do
    interval = Config.get(interval) * @ms
    amount = Config.get(amount)

    %{
      sweep: Config.sweep(stage),
      interval: interval,
      amount: amount,
      slice: amount,
      gap: min(@gap * @ms, div(interval, @gaps)),
      few: @few
    }
  end

  defp ceil_div(number, divisor), do: -Integer.floor_div(-number, divisor)

  defp now, do: System.monotonic_time(:nanosecond)
end
