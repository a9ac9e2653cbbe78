defmodule Bench.Json do
  @moduledoc false
  # As much of JSON as the results need. OTP has an encoder only since 27, and this project supports 25.

  @doc "Encodes numbers, strings, atoms, lists, and maps with keys that are strings or atoms."
  @spec encode(term) :: iodata
  def encode(value) when value in [nil, true, false],
    do: if(value == nil, do: "null", else: "#{value}")

  def encode(value) when is_atom(value), do: value |> Atom.to_string() |> encode()
  def encode(value) when is_integer(value), do: Integer.to_string(value)
  # Elixir prints the shortest form that reads as the same number. That is valid JSON.
  def encode(value) when is_float(value), do: Float.to_string(value)
  def encode(value) when is_binary(value), do: [?", escape(value), ?"]
  def encode(value) when is_list(value), do: [?[, value |> Enum.map(&encode/1) |> comma(), ?]]

  def encode(value) when is_map(value) do
    pairs = for {key, value} <- Enum.sort(value), do: [encode("#{key}"), ?:, encode(value)]
    [?{, comma(pairs), ?}]
  end

  defp comma(parts), do: Enum.intersperse(parts, ",")

  defp escape(string) do
    for <<char::utf8 <- string>> do
      case char do
        ?" -> ~S(\")
        ?\\ -> ~S(\\)
        char when char < 0x20 -> "\\u" <> String.pad_leading(Integer.to_string(char, 16), 4, "0")
        char -> <<char::utf8>>
      end
    end
  end
end
