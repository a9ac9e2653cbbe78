defmodule ZenMonitor.Truncator do
  @moduledoc """
  Keeps exit reasons small.

  A reason may carry the whole state of a server, and each subscriber gets a copy. So a `:DOWN` message has only
  an outline of it:

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

  The work is bounded, too, so that no reason can hold up a scheduler. Whatever the depth, nothing
  below level 100 is kept, and after some 5,000 terms (or 5 MB of shortened binaries) the rest of a
  reason becomes `:truncated`. The default configuration comes nowhere near these bounds. With a depth of more than
  4, or binaries of more than 4 KB, native code truncates. It has to copy a binary that does not start on a byte
  boundary, as in `<<_::1, rest::binary>>`, so for such binaries the bound is 200 KB.

  Configuration, under `config :zen_monitor`. A change by `Application.put_env/3` takes effect from the next sweep of
  a `ZenMonitor.Proxy.Batcher`; a value that cannot work then counts as the default:

  | key | default | meaning |
  |---|---|---|
  | `max_binary_size` | 1024 | the bytes of the longest binary that passes |
  | `truncation_depth` | 3 | the default depth |
  """

  # Within these limits no term takes long, and plain Elixir is faster than a call of the NIF. The rules are the
  # same in both, and a test compares them.

  import ZenMonitor.Config, only: [max_binary_size: 1, truncation_depth: 1]

  alias ZenMonitor.{Config, Native}

  # With this depth, at most 4⁴ = 256 parts are kept, with 1 MB of binaries.
  @plain_depth 4
  @plain_binary_size 4_096

  # Such a map is truncated at every depth, whether or not one of its keys is `__struct__`.
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
    limits = Config.truncation()
    truncate(term, truncation_depth(limits), max_binary_size(limits))
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
    truncate(term, depth, max_binary_size(Config.truncation()))
  end

  def truncate(_term, depth) do
    raise ArgumentError, "expected depth to be a non-negative integer, got: #{inspect(depth)}"
  end

  defp truncate(term, depth, size) when is_plain(depth, size), do: cut(term, depth, size)

  defp truncate(term, depth, size) do
    Native.truncate(term, min(depth, Config.unlimited()), size)
  end

  # Most parts of a reason pass. A term with no part that changes is returned as it is, so nothing is built for it.
  # Comparing a part with itself takes a single instruction. `levels` is how many levels are left.
  defp cut(_term, 0, _size), do: :truncated
  defp cut(term, _levels, _size) when is_atom(term), do: term

  defp cut({a, b} = tuple, levels, size) do
    levels = levels - 1
    {x, y} = {cut(a, levels, size), cut(b, levels, size)}
    if x === a and y === b, do: tuple, else: {x, y}
  end

  defp cut({a, b, c} = tuple, levels, size) do
    levels = levels - 1
    {x, y, z} = {cut(a, levels, size), cut(b, levels, size), cut(c, levels, size)}
    if x === a and y === b and z === c, do: tuple, else: {x, y, z}
  end

  defp cut([_ | _] = list, levels, size), do: cut_list(list, levels - 1, size)

  defp cut(binary, _levels, size) when is_binary(binary) and byte_size(binary) <= size, do: binary

  # The result is a new binary, since a part of the old one would keep all of it alive.
  defp cut(binary, _levels, size) when is_binary(binary) do
    kept = size - 3
    <<binary::binary-size(kept), "...">>
  end

  defp cut({a} = tuple, levels, size) do
    x = cut(a, levels - 1, size)
    if x === a, do: tuple, else: {x}
  end

  defp cut({a, b, c, d} = tuple, levels, size) do
    list = [a, b, c, d]
    kept = cut_list(list, levels - 1, size)
    if kept === list, do: tuple, else: List.to_tuple(kept)
  end

  defp cut(%{__struct__: module} = struct, levels, size)
       when is_atom(module) and map_size(struct) <= 5 do
    struct |> Map.to_list() |> cut_values(struct, levels - 1, size)
  end

  defp cut(map, levels, size) when is_map(map) and map_size(map) <= 4 do
    map |> Map.to_list() |> cut_values(map, levels - 1, size)
  end

  defp cut(term, _levels, _size)
       when is_number(term) or is_pid(term) or is_reference(term) or is_port(term) or
              term == [] or term == {},
       do: term

  defp cut(_term, _levels, _size), do: :truncated

  defp cut_list([a] = list, levels, size) do
    x = cut(a, levels, size)
    if x === a, do: list, else: [x]
  end

  defp cut_list([a, b] = list, levels, size) do
    {x, y} = {cut(a, levels, size), cut(b, levels, size)}
    if x === a and y === b, do: list, else: [x, y]
  end

  defp cut_list([a, b, c] = list, levels, size) do
    {x, y, z} = {cut(a, levels, size), cut(b, levels, size), cut(c, levels, size)}
    if x === a and y === b and z === c, do: list, else: [x, y, z]
  end

  defp cut_list([a, b, c, d] = list, levels, size) do
    {w, x} = {cut(a, levels, size), cut(b, levels, size)}
    {y, z} = {cut(c, levels, size), cut(d, levels, size)}
    if w === a and x === b and y === c and z === d, do: list, else: [w, x, y, z]
  end

  defp cut_list(_longer_or_improper, _levels, _size), do: :truncated

  defp cut_values([], map, _levels, _size), do: map

  defp cut_values([{:__struct__, module} | entries], map, levels, size) when is_atom(module) do
    cut_values(entries, map, levels, size)
  end

  defp cut_values([{key, value} | entries], map, levels, size) do
    case cut(value, levels, size) do
      ^value -> cut_values(entries, map, levels, size)
      other -> cut_values(entries, %{map | key => other}, levels, size)
    end
  end
end
