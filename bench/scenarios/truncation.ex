defmodule Bench.Scenarios.Truncation do
  @moduledoc false
  # What the truncation of a reason takes, beside the same rules in plain Elixir.

  @behaviour Bench.Scenario

  alias Bench.{Micro, PlainTruncator, Report}
  alias ZenMonitor.Truncator

  # The same work takes a few percent more or less from one run to the next.
  @same 1.05

  @targets [
    {"stack trace of 12 frames", {:at_most, 0.5}},
    {"state of 10,000 keys", {:at_most, 0.1}},
    {"the same in a tuple", nil},
    {"atom", {:ratio, @same}},
    {"shutdown", {:ratio, @same}},
    {"small terms", nil}
  ]

  @impl true
  def run(options) do
    inputs = inputs()

    for {_, reason} <- inputs,
        do: true = Truncator.truncate(reason) === PlainTruncator.truncate(reason)

    jobs = %{"ZenMonitor" => &Truncator.truncate/1, "plain Elixir" => &PlainTruncator.truncate/1}
    results = Micro.run(jobs, inputs, options)

    rows =
      for {input, target} <- @targets do
        [own, plain] =
          for job <- ["ZenMonitor", "plain Elixir"], do: results[{job, input}].median / 1_000

        Report.row(input, "µs", own, [{"plain Elixir", plain}], target)
      end

    %Report{title: "truncation of a reason, median", rows: rows}
  end

  defp inputs do
    state = Map.new(1..10_000, &{&1, "value #{&1}"})

    %{
      "stack trace of 12 frames" => {{:badmatch, {:error, :closed}}, stacktrace()},
      "state of 10,000 keys" => state,
      "the same in a tuple" => {:bad_return_value, state},
      "atom" => :killed,
      "shutdown" => {:shutdown, :restart},
      "small terms" => {:error, %{id: 17, name: "session", tags: [:a, :b, {:c, "d"}]}}
    }
  end

  defp stacktrace do
    for i <- 1..12 do
      {Bench.Example, :"function_#{i}", i, [file: ~c"lib/example.ex", line: 10 * i]}
    end
  end
end
