defmodule Bench.Readme do
  @moduledoc false
  # Writes results into the README. The text between the two markers of a scenario is replaced.

  alias Bench.Report

  @doc "Replaces the results of a scenario."
  @spec replace(Path.t(), String.t(), Report.t(), map) :: :ok
  def replace(file, scenario, report, run) do
    text = File.read!(file)
    {first, last} = {"<!-- results of #{scenario} -->\n", "<!-- end of #{scenario} -->"}

    with [before, rest] <- String.split(text, first),
         [_old, behind] <- String.split(rest, last) do
      File.write!(file, [before, first, "\n", section(report, run), "\n", last, behind])
    else
      _ ->
        Mix.raise(
          "#{file} does not hold the markers of #{scenario}, each once and in this order: #{first}#{last}"
        )
    end
  end

  defp section(report, run) do
    [
      "#{run.date}, commit #{run.commit}, `--size #{run.size} --rounds #{run.rounds}`; ",
      "OTP #{run.otp}, Elixir #{run.elixir}, #{run.rust}; #{run.processor}, #{run.system}.\n\n",
      Report.table(report)
    ]
  end
end
