defmodule ZenMonitor.Pace do
  @moduledoc false
  # When a stage may sweep its queue.
  #
  # The first sweep after a quiet interval runs at once, and no sweep begins sooner than one
  # interval after the last one ended. So no window of one interval ever sees more than one sweep,
  # and a stage with nothing to do has no timer.

  defstruct [:last, :timer]

  @opaque t :: %__MODULE__{last: integer | nil, timer: reference | nil}

  @doc "A stage that has never swept."
  @spec new() :: t
  def new, do: %__MODULE__{}

  @doc "A stage whose predecessor may have swept a moment ago."
  @spec successor() :: t
  def successor, do: %__MODULE__{last: System.monotonic_time()}

  @doc """
  Asks for a sweep. `:now` means that the caller sweeps at once; otherwise it will be sent `:sweep`
  when it may.
  """
  @spec request(t, interval :: pos_integer) :: {:now | :later, t}
  def request(%__MODULE__{timer: nil} = pace, interval) do
    case delay(pace, interval) do
      0 -> {:now, pace}
      ms -> {:later, %{pace | timer: Process.send_after(self(), :sweep, ms)}}
    end
  end

  def request(%__MODULE__{} = pace, _interval), do: {:later, pace}

  @doc """
  Notes that a sweep of so many items has just ended. One that found nothing does not count: the
  next may run at once.
  """
  @spec swept(t, items :: non_neg_integer) :: t
  def swept(%__MODULE__{timer: timer} = pace, items) do
    if timer, do: Process.cancel_timer(timer)
    last = if items > 0, do: System.monotonic_time(), else: pace.last
    %{pace | last: last, timer: nil}
  end

  defp delay(%__MODULE__{last: nil}, _interval), do: 0

  defp delay(%__MODULE__{last: last}, interval) do
    due = last + System.convert_time_unit(interval, :millisecond, :native)
    left = due - System.monotonic_time()
    if left <= 0, do: 0, else: System.convert_time_unit(left, :native, :millisecond) + 1
  end
end
