defmodule Bench.Rounds do
  @moduledoc false
  # Runs the rounds. The contenders take turns, so that a disturbance of the machine disturbs them all.

  alias Bench.{Contender, Options, Pair, Statistics}

  @typedoc "The median of each figure by contender, and the long schedules by contender."
  @type result :: %{atom => %{Contender.t() => number}}

  @doc """
  Starts a pair of nodes for each contender, calls `prepare` for each pair, and then `round` for each pair in turn.
  `round` returns figures by name; `:long_schedules` is one more figure. `settings` are `:rounds`, `fresh: true` for a
  new pair in each round, and those of `Bench.Pair.start/3`.
  """
  @spec compare(Options.t(), keyword, (Pair.t() -> term), (Pair.t(), term -> %{atom => number})) ::
          result
  def compare(options, settings \\ [], prepare, round) do
    rounds = Keyword.get(settings, :rounds, options.rounds)
    {pairs, rounds} = if settings[:fresh], do: {rounds, 1}, else: {1, rounds}

    {samples, held} =
      Enum.unzip(for _ <- 1..pairs, do: run(options, settings, rounds, prepare, round))

    held = Enum.reduce(held, &Map.merge(&1, &2, fn _contender, one, other -> one + other end))
    samples |> Enum.concat() |> medians() |> Map.put(:long_schedules, held)
  end

  defp run(options, settings, rounds, prepare, round) do
    pairs =
      for contender <- Options.contenders(options) do
        pair = Pair.start(contender, options, settings)
        {pair, prepare.(pair)}
      end

    samples =
      for _ <- 1..rounds, {pair, prepared} <- pairs do
        {pair.contender, round.(pair, prepared)}
      end

    {samples, for({pair, _} <- pairs, into: %{}, do: {pair.contender, long(pair)})}
  end

  # Counts the long schedules of our own functions; for `Process.monitor/1`, all in its VMs.
  defp long(pair) do
    seen = Pair.stop(pair)
    ours = for {held, true, place} <- seen, do: "#{held} ms from #{place}"
    for worst <- Enum.take(ours, 3), do: IO.puts(:stderr, "On a scheduler for long: #{worst}")
    if pair.contender == :process, do: length(seen), else: length(ours)
  end

  defp medians(samples) do
    figures =
      for {contender, sample} <- samples, {name, value} <- sample, do: {name, contender, value}

    for {name, of_name} <- Enum.group_by(figures, &elem(&1, 0)), into: %{} do
      by_contender = Enum.group_by(of_name, &elem(&1, 1), &elem(&1, 2))
      {name, Map.new(by_contender, fn {who, values} -> {who, Statistics.median(values)} end)}
    end
  end
end
