defmodule ZenMonitor.PaceTest do
  # Drives the pace of a stage by a simulated clock, whose unit is the microsecond.
  use ExUnit.Case

  alias ZenMonitor.{Native, Pace}

  @rounds 300
  @ms 1_000

  setup_all do
    seed = :rand.uniform(1_000_000_000)
    IO.puts("The seed of #{inspect(__MODULE__)} is #{seed}.")
    %{seed: seed}
  end

  setup %{seed: seed} do
    :rand.seed(:exsss, seed)
    :ok
  end

  describe "whatever arrives when" do
    for sweep <- [:leading_edge, :periodic] do
      test "no window of one interval sees more than one budget (#{sweep})" do
        for _ <- 1..@rounds do
          limits = random_limits(unquote(sweep))
          sweeps = run(random_arrivals(limits), limits, &sloppy_clock/0)
          assert sweeps |> scattered() |> busiest(limits.interval) <= limits.amount
        end
      end

      test "all of it is sent (#{sweep})" do
        for _ <- 1..@rounds do
          limits = random_limits(unquote(sweep))
          arrivals = random_arrivals(limits)
          sweeps = run(arrivals, limits, &sloppy_clock/0)
          assert amount(starts(sweeps)) == amount(arrivals)
        end
      end
    end

    test "it leaves within a gap when the budget allows" do
      for _ <- 1..@rounds do
        limits = limits(:leading_edge, random_interval(), random_amount())
        arrivals = random_arrivals(limits)
        sends = arrivals |> run(limits, &exact_clock/0) |> starts()

        # If an item was sent later than after a gap, a whole budget was sent in the window before that. What is sent
        # within a two-hundredth of the interval counts as sent at its end.
        for {arrived, sent} <- pair(arrivals, sends), sent > arrived + limits.gap do
          since = sent - limits.interval - limits.gap - div(limits.interval, 100)
          before = for {time, amount} <- sends, time >= since, time < sent, do: amount
          assert Enum.sum(before) >= limits.amount
        end
      end
    end

    test "an interval has no more sweeps than gaps, but for those of a few" do
      for _ <- 1..@rounds do
        limits = random_limits(:leading_edge)
        sweeps = run(random_arrivals(limits), limits, &exact_clock/0)

        # The gap need not divide the interval, and a late sweep may fall into the next window: hence 2 more.
        most = (div(limits.interval, limits.gap) + 2) * (limits.few + 2)
        assert busiest(for({began, _, _} <- sweeps, do: {began, 1}), limits.interval) <= most
      end
    end
  end

  test "a few are sent at once, and what follows is gathered for up to 2 ms" do
    limits = %{limits(:leading_edge, 100 * @ms, 1_000) | few: 2}
    arrivals = [{0, 1}, {1, 1}, {1_000, 1}, {1_999, 1}, {2_001, 1}, {50_000, 3}, {50_001, 3}]
    sweeps = run(arrivals, limits, &exact_clock/0)

    assert starts(sweeps) == [
             {0, 1},
             {1, 1},
             {1_000, 1},
             {3_000, 2},
             {50_000, 3},
             {51_000, 3}
           ]
  end

  test "what is left over does not make a stage sweep without a gap" do
    limits = limits(:leading_edge, 100 * @ms, 1_000)
    pace = Pace.first(:dispatcher, Native.window(), 0)
    assert {:sweep, 1_000, pace} = Pace.plan(pace, limits, 0)
    # It has not come to rest.
    assert {:wait, 2_000} = Pace.plan(Pace.enter(pace, limits, 0, 1), limits, 1)
  end

  test "a share holds what flows to one subscriber from one sweep to the next, whatever the interval" do
    on_exit(fn ->
      for key <- [:demand_interval, :demand_amount], do: Application.delete_env(:zen_monitor, key)
    end)

    assert Pace.share() == {100_000, 100, 20}

    for interval <- [1, 3, 10, 100, 5_000], amount <- [1, 700, 1_000, 10_000_000] do
      Application.put_env(:zen_monitor, :demand_interval, interval)
      Application.put_env(:zen_monitor, :demand_amount, amount)
      {each, burst, flow} = Pace.share()
      assert flow * each >= 2_000_000 and flow <= burst
      assert (flow - 1) * each < 2_000_000
      # No more than what is promised.
      assert burst <= Enum.max([100, ceil(amount / 10), ceil(2_000_000 / each)])
    end
  end

  test "only without pacing, and not in periodic sweeping, others may send in the place of a stage" do
    on_exit(fn -> for key <- [:sweep, :pacing], do: Application.delete_env(:zen_monitor, key) end)
    assert {100_000_000, 1_000, 2_000_000, few} = Pace.quota(:dispatcher)
    assert few > 0
    assert {100_000_000, 5_000, 2_000_000, ^few} = Pace.quota(:batcher)
    Application.put_env(:zen_monitor, :pacing, 20)
    assert elem(Pace.quota(:dispatcher), 3) == 0
    assert elem(Pace.quota(:batcher), 3) == few
    Application.put_env(:zen_monitor, :sweep, batcher: :periodic)
    assert elem(Pace.quota(:batcher), 3) == 0
  end

  test "a storm is sent by whole budgets, nine hundred and fifty in a hundred milliseconds" do
    limits = limits(:leading_edge, 100 * @ms, 1_000)
    sweeps = run([{0, 100_000}], limits, &sloppy_clock/0)
    assert for({_, _, amount} <- sweeps, uniq: true, do: amount) == [1_000]
    assert rate(sweeps, limits) >= 950
  end

  test "what goes to one subscriber, spread over the interval, is 99 percent of the budget" do
    limits = limits(:leading_edge, 100 * @ms, 1_000)
    sends = flow(Pace.first(:dispatcher, Native.window(), 0), limits, 0, 0)
    assert busiest(sends, limits.interval) <= limits.amount
    assert amount(sends) * limits.interval / (10_000 * @ms) >= 990
  end

  test "what a trickle had spent is available again one interval later" do
    limits = limits(:leading_edge, 100 * @ms, 10)
    arrivals = for n <- 0..9, do: {n * 10 * @ms, 1}
    sends = (arrivals ++ [{95 * @ms, 10}]) |> run(limits, &exact_clock/0) |> starts()
    assert sends == for(n <- 0..19, do: {n * 10 * @ms, 1})
  end

  test "periodic sweeps run on ticks only, one budget each" do
    limits = limits(:periodic, 100 * @ms, 10)
    sweeps = run([{5 * @ms, 12}, {730 * @ms, 1}], limits, &exact_clock/0)
    assert starts(sweeps) == [{100_000, 10}, {200_000, 2}, {800_000, 1}]
  end

  describe "with pacing" do
    test "a storm is sent by slices that are a slice of the interval apart" do
      limits = paced(limits(:leading_edge, 100 * @ms, 1_000), 50, 5 * @ms)
      sweeps = run([{0, 2_000}], limits, &exact_clock/0)
      assert starts(sweeps) == for(n <- 0..39, do: {n * 5 * @ms, 50})
    end

    test "lateness costs no budget, and no two slices come in a row" do
      limits = paced(limits(:leading_edge, 100 * @ms, 1_000), 50, 5 * @ms)
      sweeps = run([{0, 50_000}], limits, &sloppy_clock/0)
      assert Enum.all?(sweeps, fn {_, _, amount} -> amount <= 50 end)
      assert rate(sweeps, limits) >= 950
      times = for {began, _, _} <- sweeps, do: began
      assert Enum.min(Enum.zip_with(tl(times), times, &(&1 - &2))) >= 2_500
    end
  end

  test "a successor takes it that a whole budget was just spent" do
    assert {0, pace} = Pace.request(Pace.new(:dispatcher, Native.window(), true))
    assert {0, ^pace} = Pace.request(pace)
    refute_receive :sweep, div(ZenMonitor.Local.Dispatcher.demand_interval(), 2)
    assert_receive :sweep, 1_000
    assert {1_000, _} = Pace.request(pace)
    refute_received :sweep
  end

  test "each kind of stage may sweep in its own way" do
    on_exit(fn -> Application.delete_env(:zen_monitor, :sweep) end)
    ask = fn -> for stage <- [:connector, :batcher, :dispatcher], do: ask(stage) end
    assert ask.() == [5_000, 5_000, 1_000]
    Application.put_env(:zen_monitor, :sweep, :periodic)
    assert ask.() == [0, 0, 0]
    Application.put_env(:zen_monitor, :sweep, batcher: :periodic, connector: :leading_edge)
    assert ask.() == [5_000, 0, 1_000]
  end

  defp ask(stage), do: stage |> Pace.new(Native.window(), false) |> Pace.request() |> elem(0)

  defp limits(sweep, interval, amount) do
    gap = min(2 * @ms, div(interval, 5))
    %{sweep: sweep, interval: interval, amount: amount, slice: amount, gap: gap, few: 8}
  end

  # With pacing or without.
  defp random_limits(sweep) do
    limits = limits(sweep, random_interval(), random_amount())
    slices = Enum.random([1, 1, 2, 7])

    if slices == 1,
      do: limits,
      else: paced(limits, ceil(limits.amount / slices), div(limits.interval, slices))
  end

  defp paced(limits, slice, gap), do: %{limits | slice: slice, gap: gap, few: 0}

  defp random_interval, do: Enum.random([1, 10, 100, 5_000]) * @ms
  defp random_amount, do: Enum.random([1, 7, 100, 1_000])

  # Storms, trickles and silence, as `{time, amount}` in order.
  defp random_arrivals(%{interval: interval, amount: amount}) do
    for _ <- 1..Enum.random(1..60), reduce: [{0, 1}] do
      [{time, _} | _] = arrivals ->
        pause = Enum.random([0, 1, div(interval, 100), div(interval, 10), interval, 3 * interval])
        size = Enum.random([1, 1, 1, 2, div(amount, 10) + 1, amount, 3 * amount])
        [{time + :rand.uniform(pause + 1) - 1, size} | arrivals]
    end
    |> Enum.reverse()
  end

  # How late a timer is, and how long a sweep takes.
  defp exact_clock, do: {0, 0}
  defp sloppy_clock, do: {:rand.uniform(2 * @ms), :rand.uniform(@ms)}

  # Runs a stage until it has sent all that arrives, and returns its sweeps: `{began, ended, amount}`.
  defp run(arrivals, limits, clock) do
    run(Pace.first(:dispatcher, Native.window(), 0), arrivals, 0, 0, limits, clock, [])
  end

  defp run(_pace, [], 0, _now, _limits, _clock, sweeps), do: Enum.reverse(sweeps)

  defp run(pace, [{time, amount} | arrivals], queue, now, limits, clock, sweeps)
       when time <= now do
    run(pace, arrivals, queue + amount, now, limits, clock, sweeps)
  end

  defp run(pace, [{time, _} | _] = arrivals, 0, _now, limits, clock, sweeps) do
    run(pace, arrivals, 0, time, limits, clock, sweeps)
  end

  defp run(pace, arrivals, queue, now, limits, clock, sweeps) do
    {late, duration} = clock.()

    case Pace.plan(pace, limits, now) do
      {:wait, until} ->
        assert until > now
        run(%{pace | armed: until}, arrivals, queue, until + late, limits, clock, sweeps)

      {:sweep, allowance, pace} ->
        assert allowance > 0
        sent = min(queue, allowance)
        ended = now + duration
        pace = Pace.enter(pace, limits, ended, sent)
        pace = if sent == queue, do: Pace.rest_at(pace, limits, ended), else: pace
        sweeps = [{now, ended, sent} | sweeps]
        run(pace, arrivals, queue - sent, ended, limits, clock, sweeps)
    end
  end

  # Ten seconds of what goes to one subscriber for whom much waits: `{time, amount}`, in order. It has had its share up
  # to the time `ahead`. Timers fire on whole milliseconds, or up to one later.
  defp flow(_pace, _limits, now, _ahead) when now > 10_000 * @ms, do: []

  defp flow(pace, limits, now, ahead) do
    case Pace.plan(pace, limits, now) do
      {:wait, until} ->
        now = ceil(until / @ms) * @ms + :rand.uniform(900)
        flow(%{pace | armed: until}, limits, now, ahead)

      {:sweep, allowance, pace} ->
        each = div(limits.interval, limits.amount)
        ahead = max(ahead, now)
        amount = min(allowance, max(0, 100 - ceil((ahead - now) / each)))
        sent = now + 50 + :rand.uniform(50)
        pace = Pace.enter(pace, limits, sent, amount)
        [{sent, amount} | flow(pace, limits, sent, ahead + amount * each)]
    end
  end

  # The sweeps as if each had sent everything when it began.
  defp starts(sweeps), do: for({began, _, amount} <- sweeps, do: {began, amount})

  # The same as if each had sent a part when it began, and the rest when it ended.
  defp scattered(sweeps) do
    Enum.flat_map(sweeps, fn {began, ended, amount} ->
      first = :rand.uniform(amount)
      [{began, first}, {ended, amount - first}]
    end)
  end

  # What is sent in an interval on average.
  defp rate(sweeps, limits) do
    {began, _, last} = List.last(sweeps)
    (amount(starts(sweeps)) - last) * limits.interval / began
  end

  # The most that any window of one interval sees.
  defp busiest(sends, interval), do: busiest(sends, sends, 0, 0, interval)

  defp busiest([], _window, _sum, most, _interval), do: most

  defp busiest([{time, amount} | sends], [{start, _} | _] = window, sum, most, interval)
       when start > time - interval do
    busiest(sends, window, sum + amount, max(most, sum + amount), interval)
  end

  defp busiest(sends, [{_, amount} | window], sum, most, interval) do
    busiest(sends, window, sum - amount, most, interval)
  end

  defp amount(list), do: Enum.sum(for {_, amount} <- list, do: amount)

  # The times at which each item arrived and was sent.
  defp pair(arrivals, sends), do: Enum.zip(times(arrivals), times(sends))
  defp times(list), do: Enum.flat_map(list, fn {time, amount} -> List.duplicate(time, amount) end)
end
