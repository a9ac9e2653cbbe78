defmodule Bench.Table do
  @moduledoc false
  # Tables for a terminal that are also valid Markdown.

  @doc "The first line is the header."
  @spec render([[String.t()]]) :: iodata
  def render([header | lines]) do
    widths = for column <- Enum.zip_with([header | lines], & &1), do: widest(column)
    rule = for width <- widths, do: String.duplicate("-", width)
    for line <- [header, rule | lines], do: line(line, widths)
  end

  defp widest(cells), do: cells |> Enum.map(&String.length/1) |> Enum.max()

  defp line(cells, widths) do
    padded = Enum.zip_with(cells, widths, &String.pad_trailing/2)
    ["| ", Enum.intersperse(padded, " | "), " |\n"]
  end
end
