defmodule Bench.Report do
  @moduledoc false
  # The results of a scenario, in three forms: a table for people, JSON, and a section of the README.

  alias Bench.{Chart, Contender, Json, Rounds, Table}

  @enforce_keys [:title, :rows]
  defstruct [:title, :rows, charts: []]

  @typedoc "`ratio` compares with the first of the baselines."
  @type target ::
          {:ratio, float} | {:at_most, number} | {:at_least, number} | nil

  @type row :: %{
          figure: String.t(),
          unit: String.t(),
          value: number,
          baselines: [{String.t(), number}],
          target: target
        }

  @typedoc "A row to make of a comparison: its name, and the figure that has its values."
  @type figure :: {String.t(), unit :: String.t(), figure :: term, target}

  @type t :: %__MODULE__{
          title: String.t(),
          rows: [row],
          charts: [{String.t(), Chart.t()}]
        }

  @doc "A row of one figure by contender."
  @spec row(String.t(), String.t(), %{Contender.t() => number}, target) :: row
  def row(figure, unit, values, target) do
    {value, others} = Map.pop!(values, :zen_monitor)

    baselines =
      for {contender, value} <- Enum.sort(others), do: {Contender.name(contender), value}

    row(figure, unit, value, baselines, target)
  end

  @doc "A row of one figure with baselines of any kind."
  @spec row(String.t(), String.t(), number, [{String.t(), number}], target) :: row
  def row(figure, unit, value, baselines, target) do
    %{figure: figure, unit: unit, value: value, baselines: baselines, target: target}
  end

  @doc "The rows of some figures of a comparison, and one for the long schedules."
  @spec rows(Rounds.result(), [figure], long_schedules :: target) :: [row]
  def rows(result, figures, long_schedules \\ nil) do
    long = {"5 ms or more on a scheduler", "times", :long_schedules, long_schedules}

    for {name, unit, figure, target} <- figures ++ [long],
        do: row(name, unit, result[figure], target)
  end

  @doc "The report as a table for a terminal, which is also valid Markdown."
  @spec table(t) :: iodata
  def table(report) do
    names = report.rows |> Enum.flat_map(& &1.baselines) |> Enum.map(&elem(&1, 0)) |> Enum.uniq()
    header = ["figure", "unit", "value"] ++ names ++ ["ratio", "target", "met"]

    lines =
      for row <- report.rows do
        baselines = Map.new(row.baselines)
        others = for name <- names, do: number(baselines[name])
        cells = [row.figure, row.unit, number(row.value)] ++ others
        cells ++ [number(ratio(row)), target(row), met(row)]
      end

    Table.render([header | lines])
  end

  @doc "Writes the report and its charts into a directory."
  @spec write(t, String.t(), Path.t(), map) :: :ok
  def write(report, scenario, directory, run) do
    File.mkdir_p!(directory)

    rows =
      for row <- report.rows do
        %{row | baselines: Map.new(row.baselines), target: target(row)}
        |> Map.merge(%{ratio: ratio(row), met: met?(row)})
      end

    charts =
      for {name, chart} <- report.charts,
          do: %{file: "#{name}.svg", chart: Map.from_struct(chart)}

    content = %{scenario: scenario, run: run, rows: rows, charts: charts}
    File.write!(Path.join(directory, "#{scenario}.json"), [Json.encode(content), "\n"])

    for {name, chart} <- report.charts do
      File.write!(Path.join(directory, "#{name}.svg"), Chart.svg(chart))
    end

    :ok
  end

  @doc "The ratio of the value to the first baseline."
  @spec ratio(row) :: float | nil
  def ratio(%{baselines: [{_, baseline} | _], value: value}) when baseline > 0,
    do: value / baseline

  def ratio(_row), do: nil

  @doc "Whether the target was met, if there is one."
  @spec met?(row) :: boolean | nil
  def met?(%{target: nil}), do: nil
  def met?(%{target: {:ratio, most}} = row), do: ratio(row) && ratio(row) <= most
  def met?(%{target: {:at_most, most}, value: value}), do: value <= most
  def met?(%{target: {:at_least, least}, value: value}), do: value >= least

  defp met(row), do: Map.fetch!(%{nil => "", true => "yes", false => "**no**"}, met?(row))

  defp target(%{target: nil}), do: ""
  defp target(%{target: {:ratio, most}}), do: "ratio ≤ #{most}"
  defp target(%{target: {:at_most, most}}), do: "≤ #{most}"
  defp target(%{target: {:at_least, least}}), do: "≥ #{least}"

  # Three significant digits.
  defp number(nil), do: ""
  defp number(value) when is_integer(value), do: Integer.to_string(value)
  defp number(value) when abs(value) >= 100, do: value |> round() |> Integer.to_string()
  defp number(value) when abs(value) >= 10, do: :erlang.float_to_binary(value, decimals: 1)
  defp number(value), do: :erlang.float_to_binary(value, decimals: 3)
end
