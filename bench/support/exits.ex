defmodule Bench.Exits do
  @moduledoc false
  # What exits and their messages cost both nodes, from the first exit to the last message.

  alias Bench.{Options, Pair, Report, Rounds}

  @typedoc "What a round measures. The result of the cost is the time until the last message, in µs."
  @type round :: (Pair.t(), size :: pos_integer -> Pair.cost())

  @doc "Compares the costs of a round, and reports them for each of `size` messages."
  @spec report(Options.t(), pos_integer, String.t(), keyword(Report.target()), round) ::
          Report.t()
  def report(options, size, title, targets, round) do
    result = Rounds.compare(options, fn _pair -> size end, &each(round.(&1, &2), &2))

    %Report{
      title: title,
      rows:
        Report.rows(result, [
          {"local CPU per :DOWN", "µs", :local, targets[:local]},
          {"remote CPU per :DOWN", "µs", :remote, targets[:remote]},
          {"time per :DOWN", "µs", :wall, targets[:wall]}
        ])
    }
  end

  defp each(cost, size) do
    %{local: cost.local / size, remote: cost.remote / size, wall: cost.result / size}
  end
end
