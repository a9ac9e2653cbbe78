defmodule ZenMonitor.Window do
  @moduledoc false
  # How much may go out so that no window of one interval ever sees more than one budget.
  #
  # A window is a list of entries, the newest first: when the first and the last items of an entry
  # were sent, and how many there were. All of them count until one interval after the last. What is
  # sent soon after an entry was begun joins it, so that the list stays short; items that thereby
  # count for longer are on the safe side.
  #
  # Times are integers of any one unit. Sending may take time: an item has to be entered after it was
  # sent, and room be asked for before.

  # An interval of steady sending has about so many entries.
  @entries 50

  @type t :: [{first :: integer, last :: integer, amount :: pos_integer}]

  @doc "A window in which nothing was sent."
  @spec new() :: t
  def new, do: []

  @doc "How many items may be sent at `now`."
  @spec room(t, now :: integer, interval :: pos_integer, budget :: pos_integer) ::
          non_neg_integer
  def room(window, now, interval, budget) do
    window
    |> Enum.take_while(&counts?(&1, now, interval))
    |> Enum.reduce(budget, fn {_, _, amount}, room -> room - amount end)
    |> max(0)
  end

  @doc "The first time from `now` on at which there is room."
  @spec opens(t, now :: integer, interval :: pos_integer, budget :: pos_integer) :: integer
  def opens([{_, last, amount} = entry | older], now, interval, budget) do
    cond do
      not counts?(entry, now, interval) -> now
      amount < budget -> opens(older, now, interval, budget - amount)
      true -> last + interval
    end
  end

  def opens([], now, _interval, _budget), do: now

  @doc "Enters items that were sent until `now`, and forgets what does not count any more."
  @spec enter(t, now :: integer, interval :: pos_integer, amount :: non_neg_integer) :: t
  def enter(window, _now, _interval, 0), do: window

  def enter([{first, _, before} | older], now, interval, amount)
      when (now - first) * @entries < interval do
    [{first, now, before + amount} | older]
  end

  def enter(window, now, interval, amount) do
    [{now, now, amount} | Enum.take_while(window, &counts?(&1, now, interval))]
  end

  defp counts?({_, last, _}, now, interval), do: now < last + interval
end
