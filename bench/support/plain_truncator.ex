defmodule Bench.PlainTruncator do
  @moduledoc false
  # The rules of `ZenMonitor.Truncator` in plain Elixir, for comparison. The limits are compiled in, as in version
  # 2.

  @widest 4
  @longest 1_024
  @depth 3

  @doc "Truncates a reason."
  @spec truncate(term) :: term
  def truncate({:shutdown, _} = reason), do: reason
  def truncate(reason), do: cut(reason, @depth)

  defp cut(_term, 0), do: :truncated

  defp cut(term, _left) when is_atom(term) or is_number(term) or is_pid(term), do: term
  defp cut(term, _left) when is_reference(term) or is_port(term), do: term
  defp cut(term, _left) when is_binary(term) and byte_size(term) <= @longest, do: term
  defp cut(term, _left) when is_binary(term), do: binary_part(term, 0, @longest - 3) <> "..."

  defp cut(term, left) when is_tuple(term) and tuple_size(term) <= @widest do
    term |> Tuple.to_list() |> cut_all(left) |> List.to_tuple()
  end

  defp cut(%module{} = term, left) when map_size(term) <= @widest + 1 do
    term |> Map.delete(:__struct__) |> cut_values(left) |> Map.put(:__struct__, module)
  end

  defp cut(term, left) when is_map(term) and map_size(term) <= @widest, do: cut_values(term, left)

  defp cut(term, left) when is_list(term) do
    if short?(term, @widest), do: cut_all(term, left), else: :truncated
  end

  defp cut(_term, _left), do: :truncated

  defp cut_all(terms, left), do: for(term <- terms, do: cut(term, left - 1))
  defp cut_values(map, left), do: Map.new(map, fn {key, value} -> {key, cut(value, left - 1)} end)

  defp short?([], _left), do: true
  defp short?([_ | rest], left) when left > 0, do: short?(rest, left - 1)
  defp short?(_longer_or_improper, _left), do: false
end
