defmodule Bench.Statistics do
  @moduledoc false

  @doc "The middle of the values."
  @spec median([number]) :: number
  def median(values), do: percentile(values, 50)

  @doc "The value that so many percent do not exceed; between two neighbours, a share of each."
  @spec percentile([number], number) :: number
  def percentile(values, percent) do
    sorted = values |> Enum.sort() |> List.to_tuple()
    position = (tuple_size(sorted) - 1) * percent / 100
    below = trunc(position)
    above = min(below + 1, tuple_size(sorted) - 1)
    share = position - below
    elem(sorted, below) * (1 - share) + elem(sorted, above) * share
  end

  @doc "The arithmetic mean."
  @spec mean([number]) :: float
  def mean(values), do: Enum.sum(values) / length(values)

  @doc "The standard deviation as a share of the mean."
  @spec deviation([number]) :: float
  def deviation(values) do
    mean = mean(values)
    variance = mean(for value <- values, do: (value - mean) * (value - mean))
    if mean == 0, do: 0.0, else: :math.sqrt(variance) / mean
  end
end
