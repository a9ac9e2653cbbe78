defmodule ZenMonitor.Truncator do
  @moduledoc """
  Keeps exit reasons small.

  A reason may carry the whole state of a server, and it is copied once per subscriber. So a
  `:DOWN` message carries no more than an outline of it:

    * Atoms, numbers, pids, ports and references pass.
    * A binary longer than `max_binary_size` bytes keeps its first `max_binary_size - 3` bytes and
      gains `...`.
    * Tuples, proper lists and maps of at most 4 elements are kept and their elements (a map's
      values) truncated one level deeper. Longer ones become `:truncated`.
    * A struct follows the rule of maps, without counting `__struct__`. It keeps its module, even
      one that is not loaded, and no code of that module ever runs.
    * Functions, improper lists and bitstrings that are not whole bytes become `:truncated`.
    * At level `depth`, counted from the reason itself at level 0, everything becomes `:truncated`.
    * The one exception is a reason `{:shutdown, term}`: it passes untouched.

  The work is bounded too, so that no reason can hold up a scheduler: whatever the depth, nothing
  below level 100 is kept, and after some 5,000 terms (or 5 MB of shortened binaries) the rest of a
  reason becomes `:truncated`. A binary that starts within a byte, as in `<<_::1, rest::binary>>`,
  has to be copied for native code to look at it, and 200 KB of such binaries make up all the work of a
  Proxy. Otherwise, the default configuration comes nowhere near the bounds.

  Configuration, under `config :zen_monitor`. What is changed behind the back of `ZenMonitor`, with
  `Application.put_env/3`, holds from the next sweep of a `ZenMonitor.Proxy.Batcher`:

  | key | default | meaning |
  |---|---|---|
  | `max_binary_size` | 1024 | the bytes of the longest binary that passes |
  | `truncation_depth` | 3 | the default depth |
  """

  # Below these limits no term takes long, and plain Elixir is faster than to call the NIF. The rules are the
  # same in both; a test compares them.

  alias ZenMonitor.{Config, Native}

  # Of a term so deep, at most 4⁴ = 256 parts are kept, and 1 MB of binaries.
  @plain_depth 4
  @plain_binary_size 4_096

  # At every depth, and whether or not one of its keys is `__struct__`.
  defguardp is_large(term) when is_map(term) and map_size(term) > 5

  defguardp is_plain(depth, size) when depth <= @plain_depth and size <= @plain_binary_size

  @doc """
  Truncates `term` as the reason of a `:DOWN` message is truncated.

      iex> ZenMonitor.Truncator.truncate({:error, [1, 2, 3, 4, 5]})
      {:error, :truncated}

      iex> ZenMonitor.Truncator.truncate({:shutdown, [1, 2, 3, 4, 5]})
      {:shutdown, [1, 2, 3, 4, 5]}
  """
  @spec truncate(term) :: term
  def truncate({:shutdown, _detail} = reason), do: reason
  def truncate(map) when is_large(map), do: :truncated

  def truncate(term) do
    {depth, size} = Config.truncation()
    truncate(term, depth, size)
  end

  @doc """
  Truncates `term` as `truncate/1` does, with a `depth` other than the configured one.

      iex> ZenMonitor.Truncator.truncate({:a, {:b, {:c, {:d}}}}, 3)
      {:a, {:b, {:truncated, :truncated}}}

  Raises `ArgumentError` unless `depth` is a non-negative integer.
  """
  @spec truncate(term, depth :: non_neg_integer) :: term
  def truncate(term, depth)

  def truncate({:shutdown, _detail} = reason, depth) when is_integer(depth) and depth >= 0 do
    reason
  end

  def truncate(term, depth) when is_integer(depth) and depth >= 0 do
    {_depth, size} = Config.truncation()
    truncate(term, depth, size)
  end

  def truncate(_term, depth) do
    raise ArgumentError, "expected depth to be a non-negative integer, got: #{inspect(depth)}"
  end

  defp truncate(term, depth, size) when is_plain(depth, size) do
    # Most reasons pass, and then nothing is made anew.
    if passes?(term, depth, size), do: term, else: cut(term, depth, size)
  end

  defp truncate(term, depth, size) do
    Native.truncate(term, min(depth, Config.unlimited()), size)
  end

  # `levels` are left.
  defp passes?(_term, 0, _size), do: false
  defp passes?(term, _levels, _size) when is_atom(term), do: true
  defp passes?({a, b}, left, size), do: passes?(a, left - 1, size) and passes?(b, left - 1, size)

  defp passes?({a, b, c}, left, size) do
    passes?(a, left - 1, size) and passes?(b, left - 1, size) and passes?(c, left - 1, size)
  end

  defp passes?([_ | _] = list, left, size), do: all_pass?(list, 4, left - 1, size)
  defp passes?(binary, _left, size) when is_binary(binary), do: byte_size(binary) <= size

  defp passes?(tuple, left, size) when is_tuple(tuple) and tuple_size(tuple) <= 4 do
    all_pass?(Tuple.to_list(tuple), 4, left - 1, size)
  end

  defp passes?(map, left, size) when is_map(map) and map_size(map) <= 5 do
    case map do
      %{__struct__: module} when is_atom(module) ->
        all_pass?(Map.values(map), 5, left - 1, size)

      _ ->
        all_pass?(Map.values(map), 4, left - 1, size)
    end
  end

  defp passes?(term, _left, _size) do
    term == [] or is_number(term) or is_pid(term) or is_reference(term) or is_port(term)
  end

  # There are no more than so many.
  defp all_pass?([], _most, _left, _size), do: true

  defp all_pass?([term | terms], most, left, size) when most > 0 do
    passes?(term, left, size) and all_pass?(terms, most - 1, left, size)
  end

  defp all_pass?(_terms, _most, _left, _size), do: false

  defp cut(_term, 0, _size), do: :truncated
  defp cut(term, _levels, _size) when is_atom(term), do: term

  defp cut({a, b}, levels, size) do
    levels = levels - 1
    {cut(a, levels, size), cut(b, levels, size)}
  end

  defp cut({a, b, c}, levels, size) do
    levels = levels - 1
    {cut(a, levels, size), cut(b, levels, size), cut(c, levels, size)}
  end

  defp cut([a], levels, size), do: [cut(a, levels - 1, size)]

  defp cut([a, b], levels, size) do
    levels = levels - 1
    [cut(a, levels, size), cut(b, levels, size)]
  end

  defp cut([a, b, c], levels, size) do
    levels = levels - 1
    [cut(a, levels, size), cut(b, levels, size), cut(c, levels, size)]
  end

  defp cut([a, b, c, d], levels, size) do
    levels = levels - 1
    [cut(a, levels, size), cut(b, levels, size), cut(c, levels, size), cut(d, levels, size)]
  end

  defp cut([_ | _], _levels, _size), do: :truncated

  defp cut({a, b, c, d}, levels, size) do
    levels = levels - 1
    {cut(a, levels, size), cut(b, levels, size), cut(c, levels, size), cut(d, levels, size)}
  end

  defp cut({a}, levels, size), do: {cut(a, levels - 1, size)}
  defp cut(term, _levels, _size) when term == {} or term == [], do: term

  defp cut(binary, _levels, size) when is_binary(binary) and byte_size(binary) <= size, do: binary

  defp cut(binary, _levels, size) when is_binary(binary) do
    kept = size - 3
    <<start::binary-size(kept), _::binary>> = binary

    # Not `start` itself, which would keep the whole alive; and with its size, or room for more is taken.
    <<start::binary-size(kept), "...">>
  end

  defp cut(map, levels, size) when is_map(map) do
    case map do
      %{__struct__: module} when is_atom(module) and map_size(map) <= 5 ->
        cut_map(map, levels, size)

      _ when map_size(map) <= 4 ->
        cut_map(map, levels, size)

      _ ->
        :truncated
    end
  end

  defp cut(term, _levels, _size)
       when is_number(term) or is_pid(term) or is_reference(term) or is_port(term),
       do: term

  defp cut(_term, _levels, _size), do: :truncated

  defp cut_map(map, levels, size) do
    :maps.map(
      fn
        :__struct__, module when is_atom(module) -> module
        _key, value -> cut(value, levels - 1, size)
      end,
      map
    )
  end
end
