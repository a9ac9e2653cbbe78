defmodule Bench.Scenarios.Storm do
  @moduledoc false
  # Many processes exit at once, with default settings: how many messages arrive in an interval.

  @behaviour Bench.Scenario

  alias Bench.{Caller, Contender, Options, Pair, Report, Rounds, Standing, Targets}

  # µs. Messages of one delivery arrive with no such pause between them.
  @window 100_000
  @pause 1_000

  @impl true
  def run(options) do
    size = Options.scale(options, 100_000)
    settings = [rounds: 1, settings: :default]
    result = Rounds.compare(options, settings, &prepare/1, fn pair, _ -> round(pair, size) end)

    %Report{
      title: "#{size} monitored processes exit, default settings",
      rows:
        Report.rows(result, [
          {"most :DOWN messages in any 100 ms", "messages", :most, {:at_most, 1_000}},
          {"most without a pause of 1 ms", "messages", :burst, {:at_most, 100}},
          {"in 100 ms while work remains", "messages", :average, {:at_least, 950}},
          {"until the last", "s", :wall, nil}
        ])
    }
  end

  defp prepare(pair), do: Pair.local(pair, Contender, :place_at_once, [pair.contender])

  defp round(pair, size) do
    Pair.remote(pair, Targets, :add, [size])
    callers = Standing.start(pair, size)
    figures = Pair.local(pair, __MODULE__, :arrivals, [callers])
    Pair.local(pair, Caller, :stop, [callers])
    figures
  end

  @doc "Ends all targets and looks at when the messages arrive. Runs in the VM of the local node."
  @spec arrivals([Caller.t()]) :: %{atom => number}
  def arrivals(callers) do
    [figures] =
      Caller.run(callers, fn state ->
        # A receiver that is scheduled late would see two deliveries at once.
        Process.flag(:priority, :high)

        # A list would grow, and collecting it would take longer than it is from one delivery to the next.
        arrivals = :atomics.new(state.amount, [])
        began = now()
        Caller.kill(state.remote)
        Enum.each(1..state.amount, &await(arrivals, &1))
        Caller.refute_more()
        times = for i <- 1..state.amount, do: :atomics.get(arrivals, i)
        {figures(times, began), %{state | refs: []}}
      end)

    figures
  end

  defp await(arrivals, i) do
    receive do: ({:DOWN, _, _, _, _} -> :atomics.put(arrivals, i, now()))
  end

  # The messages of the first window come at its beginning. So the time from the first message to the last is what
  # all others take.
  defp figures(times, began) do
    {first, last} = {hd(times), List.last(times)}
    late = Enum.count(times, &(&1 >= first + @window))
    average = if late == 0, do: length(times), else: late / max(1, last - first) * @window

    %{
      most: most(times, times, 0, 0),
      burst: burst(times),
      average: average,
      wall: (last - began) / 1_000_000
    }
  end

  # `oldest` are the arrivals from the first one in the window on. `inside` is how many are in it.
  defp most([], _oldest, _inside, most), do: most

  defp most([time | _] = times, [old | oldest], inside, most) when old <= time - @window do
    most(times, oldest, inside - 1, most)
  end

  defp most([_ | times], oldest, inside, most) do
    most(times, oldest, inside + 1, max(most, inside + 1))
  end

  defp burst(times) do
    times
    |> Enum.zip(tl(times) ++ [:infinity])
    |> Enum.chunk_while(
      0,
      fn {time, next}, size ->
        if next > time + @pause, do: {:cont, size + 1, 0}, else: {:cont, size + 1}
      end,
      fn 0 -> {:cont, 0} end
    )
    |> Enum.max()
  end

  defp now, do: System.monotonic_time(:microsecond)
end
