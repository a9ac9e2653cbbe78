defmodule Mix.ZenMonitor.Library.Manifest do
  @moduledoc false
  # The description of a packed library: a text of lines `field: value`, which people can read, too.

  @fields [:package, :sources, :target, :nif, :rustc, :library]
  @enforce_keys @fields
  defstruct @fields

  @typedoc """
  The version of the package, the hash of the native sources, the target, the version of the VM's
  interface, the version of `rustc`, and the digest of the library.
  """
  @type t :: %__MODULE__{
          package: String.t(),
          sources: String.t(),
          target: String.t(),
          nif: String.t(),
          rustc: String.t(),
          library: String.t()
        }

  @typedoc "The values that a manifest must have to fit."
  @type expected :: %{
          package: String.t(),
          sources: String.t(),
          target: String.t(),
          nif: String.t()
        }

  @doc "The name of a packed library and of its files, without their endings."
  @spec name(t | expected) :: String.t()
  def name(%{package: package, nif: nif, target: target}) do
    "zen_monitor_nif-#{package}-nif-#{nif}-#{target}"
  end

  @spec encode(t) :: String.t()
  def encode(manifest) do
    Enum.map_join(@fields, &"#{&1}: #{Map.fetch!(manifest, &1)}\n")
  end

  @doc "The manifest of a text, or what is wrong with the text."
  @spec decode(String.t()) :: {:ok, t} | {:error, String.t()}
  def decode(text) do
    values =
      for line <- String.split(text, "\n"),
          [name, value] <- [String.split(line, ": ", parts: 2)] do
        {name, value}
      end

    values = Map.new(values)

    case Enum.reject(@fields, &is_map_key(values, "#{&1}")) do
      [] -> {:ok, struct!(__MODULE__, for(field <- @fields, do: {field, values["#{field}"]}))}
      missing -> {:error, "its manifest does not say #{Enum.join(missing, ", ")}"}
    end
  end

  @doc "Checks that a manifest fits. The error says what was found, what is expected and what to do."
  @spec check(t, expected) :: :ok | {:error, String.t()}
  def check(manifest, expected) do
    case Enum.find([:target, :package, :nif, :sources], &(not same?(&1, manifest, expected))) do
      nil -> :ok
      field -> {:error, sentence(field, Map.fetch!(manifest, field), expected)}
    end
  end

  defp same?(field, manifest, expected) do
    Map.fetch!(manifest, field) == Map.fetch!(expected, field)
  end

  defp sentence(:target, found, expected) do
    "it is built for #{found}, and #{expected.target} is expected: take the one for that, or set " <>
      "CARGO_BUILD_TARGET if this build is to run on another machine"
  end

  defp sentence(:package, found, expected) do
    "it is of zen_monitor #{found}, and #{expected.package} is expected: take the one of that version"
  end

  defp sentence(:nif, found, expected) do
    "it is built for version #{found} of the VM's interface for native code, and #{expected.nif} " <>
      "is expected: pack it again from this version of zen_monitor"
  end

  defp sentence(:sources, found, expected) do
    "it is built from sources with the hash #{found}, and those here have #{expected.sources}: pack " <>
      "it again from these sources"
  end
end
