defmodule Bench.Scenarios.Truncation do
  @moduledoc false
  # How long the truncation of a reason takes, compared with the same rules in plain Elixir.

  @behaviour Bench.Scenario

  alias Bench.{Micro, PlainTruncator, Report}
  alias ZenMonitor.Truncator

  @target {:ratio, 0.8}

  @inputs [
    "atom",
    "stack trace of 12 frames",
    "state of 10,000 keys",
    "the same in a tuple",
    "100 KB binary in a tuple",
    "five nested tuples",
    "call of a dead server",
    "small terms"
  ]

  @impl true
  def run(options) do
    inputs = inputs()

    for {_, reason} <- inputs,
        do: true = Truncator.truncate(reason) === PlainTruncator.truncate(reason)

    jobs = %{
      "ZenMonitor" => &Truncator.truncate/1,
      "plain Elixir" => &PlainTruncator.truncate/1,
      "empty call" => &Function.identity/1
    }

    results = Micro.run(jobs, inputs, options)

    rows =
      for input <- @inputs do
        [own | others] =
          for job <- ["ZenMonitor", "plain Elixir", "empty call"],
              do: {job, results[{job, input}].median / 1_000}

        Report.row(input, "µs", elem(own, 1), others, @target)
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
      "100 KB binary in a tuple" => {:error, :binary.copy("x", 100_000)},
      "five nested tuples" => {:a, {:b, {:c, {:d, {:e, :f}}}}},
      "call of a dead server" => {:noproc, {GenServer, :call, [:server, :request, 5_000]}},
      "small terms" => {:error, %{id: 17, name: "session", tags: [:a, :b, {:c, "d"}]}}
    }
  end

  defp stacktrace do
    for i <- 1..12 do
      {Bench.Example, :"function_#{i}", i, [file: ~c"lib/example.ex", line: 10 * i]}
    end
  end
end
