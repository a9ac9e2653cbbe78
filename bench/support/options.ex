defmodule Bench.Options do
  @moduledoc false
  # The options of a run: what it measures, and where the results go.

  @full 500_000

  @enforce_keys [:size, :rounds, :time, :json, :readme, :v2, :scenarios]
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          size: pos_integer,
          rounds: pos_integer,
          time: float,
          json: Path.t() | nil,
          readme: Path.t() | nil,
          v2: [Path.t()],
          scenarios: [String.t()]
        }

  @switches [size: :integer, rounds: :integer, time: :float, json: :string, readme: :string]

  @usage """
  Usage: mix run --no-start bench/run.exs [OPTIONS] [SCENARIO ...]

    --size N       how many processes the largest scenarios use (#{@full}); the others scale with it
    --rounds N     how often each figure is taken, of which the median counts (3)
    --time S       the seconds that each job of a micro-benchmark runs for (2.0)
    --json DIR     where to write the results as JSON and the curves as SVG
    --readme FILE  a file whose results between markers are replaced

  ZEN_MONITOR_V2=DIR  a build of version 2 with its dependencies, as DIR/*/ebin, to compare with
  """

  @doc """
  The options of the command line, for scenarios that run unless others are named, and those that only run
  when they are. Raises an error with the usage if they are wrong.
  """
  @spec parse!([String.t()], %{String.t() => String.t()}, [String.t()], [String.t()]) :: t
  def parse!(argv, env, usual, large) do
    {given, scenarios, invalid} = OptionParser.parse(argv, strict: @switches)
    unknown = scenarios -- (usual ++ large)
    if invalid != [], do: refuse!("invalid: #{Enum.map_join(invalid, " ", &elem(&1, 0))}")
    if unknown != [], do: refuse!("no scenario is called #{Enum.join(unknown, " or ")}")

    %__MODULE__{
      size: positive!(given, :size, @full),
      rounds: positive!(given, :rounds, 3),
      time: positive!(given, :time, 2.0),
      json: given[:json],
      readme: given[:readme],
      v2: v2!(env["ZEN_MONITOR_V2"]),
      scenarios: if(scenarios == [], do: usual, else: scenarios)
    }
  end

  @doc "Scales a number that is meant for runs of full size."
  @spec scale(t, pos_integer) :: pos_integer
  def scale(%__MODULE__{size: size}, number), do: max(1, div(number * size, @full))

  @doc "The number of rounds: at least so many, unless the run only tries whether everything works."
  @spec rounds(t, pos_integer) :: pos_integer
  def rounds(%__MODULE__{rounds: 1}, _least), do: 1
  def rounds(%__MODULE__{rounds: rounds}, least), do: max(rounds, least)

  @doc "The contenders of this run, ours first."
  @spec contenders(t) :: [Bench.Contender.t()]
  def contenders(%__MODULE__{v2: []}), do: [:zen_monitor, :process]
  def contenders(%__MODULE__{}), do: [:zen_monitor, :process, :v2]

  defp positive!(given, key, default) do
    value = Keyword.get(given, key, default)
    if value > 0, do: value, else: refuse!("--#{key} must be greater than 0")
  end

  defp v2!(unset) when unset in [nil, ""], do: []

  defp v2!(directory) do
    case Path.wildcard(Path.join(Path.expand(directory), "*/ebin")) do
      [] -> refuse!("ZEN_MONITOR_V2=#{directory} holds no */ebin")
      ebins -> ebins
    end
  end

  @spec refuse!(String.t()) :: no_return
  defp refuse!(message), do: Mix.raise("#{message}\n\n#{@usage}")
end
