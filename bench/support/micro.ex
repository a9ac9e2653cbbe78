defmodule Bench.Micro do
  @moduledoc false
  # Runs job maps of Benchee: on Benchee if it is there, and otherwise on a small runner of its own.

  alias Bench.{Options, Statistics, Table}

  @typedoc """
  A job takes an input, or what `before_each` makes of it. `after_each` gets what the job returned. The
  hooks run around every single call, and are not measured.
  """
  @type job :: (term -> term) | {(term -> term), keyword((term -> term))}

  @typedoc "In ns, except for `ips`, which are runs per second, and `deviation`, which is relative."
  @type statistics :: %{
          ips: float,
          average: float,
          deviation: float,
          median: float,
          percentile_99: float
        }

  # Calls that are as short as reading a clock are measured in batches of so many ns, so that each batch has its
  # share of garbage collections.
  @batch 1_000_000
  # So many calls are unrolled in a row. Otherwise counting them would take longer than the shortest of them.
  @row 8

  @doc "Runs every job with every input, prints what it took, and returns it by job and input."
  @spec run(%{String.t() => job}, %{String.t() => term}, Options.t()) ::
          %{{job :: String.t(), input :: String.t()} => statistics}
  def run(jobs, inputs, options) do
    results =
      if Code.ensure_loaded?(Benchee),
        do: benchee(jobs, inputs, options),
        else: own(jobs, inputs, options)

    IO.puts(["\n", table(results)])
    results
  end

  defp benchee(jobs, inputs, options) do
    settings = [
      inputs: inputs,
      time: options.time,
      warmup: options.time / 4,
      formatters: [],
      print: [benchmarking: false, configuration: false, fast_warning: false]
    ]

    # Without Hex it is no dependency, so the compiler must not look for it.
    suite = apply(Benchee, :run, [jobs, settings])

    for scenario <- suite.scenarios, into: %{} do
      statistics = scenario.run_time_data.statistics

      {{scenario.job_name, scenario.input_name},
       %{
         ips: statistics.ips,
         average: statistics.average,
         deviation: statistics.std_dev_ratio,
         median: statistics.median,
         percentile_99: statistics.percentiles[99]
       }}
    end
  end

  defp own(jobs, inputs, options) do
    for {input_name, input} <- inputs, {job_name, job} <- jobs, into: %{} do
      {{job_name, input_name}, job |> sample(input, options.time) |> statistics()}
    end
  end

  # In a process of its own, so that no job inherits the heap of another.
  defp sample(job, input, time) do
    Task.await(Task.async(fn -> warm_up_and_sample(job, input, time) end), :infinity)
  end

  defp warm_up_and_sample({function, hooks}, input, time) do
    before_each = Keyword.get(hooks, :before_each, & &1)
    after_each = Keyword.get(hooks, :after_each, & &1)

    run = fn ->
      argument = before_each.(input)
      began = now()
      result = function.(argument)
      taken = now() - began
      after_each.(result)
      taken
    end

    repeat(run, time / 4)
    repeat(run, time)
  end

  defp warm_up_and_sample(function, input, time) do
    times = calibrate(function, input, 1)
    run = fn -> batch(function, input, times) / (times * @row) end
    repeat(run, time / 4)
    repeat(run, time)
  end

  defp calibrate(function, input, times) do
    if batch(function, input, times) >= @batch,
      do: times,
      else: calibrate(function, input, times * 2)
  end

  defp batch(function, input, times) do
    began = now()
    call(function, input, times)
    now() - began
  end

  defp call(_function, _input, 0), do: :ok

  defp call(function, input, times) do
    unquote_splicing(List.duplicate(quote(do: var!(function).(var!(input))), @row))
    call(function, input, times - 1)
  end

  # At least once.
  defp repeat(run, seconds), do: repeat(run, now() + round(seconds * 1.0e9), [])

  defp repeat(run, until, samples) do
    samples = [run.() | samples]
    if now() < until, do: repeat(run, until, samples), else: samples
  end

  defp statistics(samples) do
    average = Statistics.mean(samples)

    %{
      ips: 1.0e9 / max(average, 1),
      average: average,
      deviation: Statistics.deviation(samples),
      median: Statistics.median(samples),
      percentile_99: Statistics.percentile(samples, 99)
    }
  end

  # With the columns of Benchee's own.
  defp table(results) do
    lines =
      for {{job, input}, s} <- Enum.sort_by(results, fn {{job, input}, _} -> {input, job} end) do
        deviation = "±#{Float.round(s.deviation * 100.0, 2)}%"

        [
          input,
          job,
          "#{round(s.ips)}",
          time(s.average),
          deviation,
          time(s.median),
          time(s.percentile_99)
        ]
      end

    Table.render([["input", "job", "ips", "average", "deviation", "median", "99th %"] | lines])
  end

  defp time(ns) when ns < 1_000, do: "#{Float.round(ns / 1, 1)} ns"
  defp time(ns) when ns < 1_000_000, do: "#{Float.round(ns / 1_000, 2)} µs"
  defp time(ns), do: "#{Float.round(ns / 1_000_000, 2)} ms"

  defp now, do: System.monotonic_time(:nanosecond)
end
