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
  has to be copied to be looked at, and 200 KB of such binaries make up all the work. Otherwise, the
  default configuration comes nowhere near the bounds.

  Configuration, under `config :zen_monitor`, read each time it decides about a reason:

  | key | default | meaning |
  |---|---|---|
  | `max_binary_size` | 1024 | the bytes of the longest binary that passes |
  | `truncation_depth` | 3 | the default depth |
  """

  alias ZenMonitor.{Config, Native}

  # What the NIF surely can decode. Its own bounds lie far below.
  @word 0xFFFF_FFFF

  # A map of more than 4 keys, whether or not one of them is `__struct__`.
  defguardp is_large(term) when is_map(term) and map_size(term) > 5

  @doc """
  Truncates `term` as the reason of a `:DOWN` message is truncated.

      iex> ZenMonitor.Truncator.truncate({:error, [1, 2, 3, 4, 5]})
      {:error, :truncated}

      iex> ZenMonitor.Truncator.truncate({:shutdown, [1, 2, 3, 4, 5]})
      {:shutdown, [1, 2, 3, 4, 5]}
  """
  @spec truncate(term) :: term
  def truncate({:shutdown, _detail} = reason), do: reason
  # At every depth. To read the configured one would take ten times as long.
  def truncate(term) when is_large(term), do: :truncated
  def truncate(term), do: truncate(term, Config.get(:truncation_depth))

  @doc """
  Truncates `term` as `truncate/1` does, with a `depth` other than the configured one.

      iex> ZenMonitor.Truncator.truncate({:a, {:b, {:c, {:d}}}}, 3)
      {:a, {:b, {:truncated, :truncated}}}

  Raises `ArgumentError` unless `depth` is a non-negative integer.
  """
  @spec truncate(term, depth :: non_neg_integer) :: term
  def truncate(term, depth)

  # What takes less to tell here than to hand to the NIF: most reasons, and the state of a server.
  def truncate(term, depth)
      when is_integer(depth) and depth > 0 and
             (is_atom(term) or is_number(term) or is_pid(term) or is_reference(term)),
      do: term

  def truncate({:shutdown, _detail} = reason, depth) when is_integer(depth) and depth >= 0 do
    reason
  end

  def truncate(term, depth) when is_integer(depth) and depth >= 0 and is_large(term) do
    :truncated
  end

  def truncate({tag, term}, depth)
      when is_integer(depth) and depth > 1 and is_atom(tag) and is_large(term) do
    {tag, :truncated}
  end

  def truncate(term, depth) when is_integer(depth) and depth >= 0 do
    depth = min(depth, @word)

    # No truncation yields `:binary`: of the atoms, only those at depth 0 come here.
    with :binary <- Native.truncate(term, depth, supposed_size(term)) do
      Native.truncate(term, depth, configured_size())
    end
  end

  def truncate(_term, depth) do
    raise ArgumentError, "expected depth to be a non-negative integer, got: #{inspect(depth)}"
  end

  @doc false
  # What the NIFs are to take for `max_binary_size` at first: nothing where there is hardly ever a binary,
  # as in an error of Erlang's own with its stack trace. They answer `:binary` if there is one. To read
  # the configuration takes as long as to truncate such a reason.
  @spec supposed_size(term) :: non_neg_integer | nil
  def supposed_size(reason) when is_atom(reason), do: nil
  def supposed_size({error, [_ | _]}) when not is_map(error), do: nil
  def supposed_size(_reason), do: configured_size()

  @doc false
  @spec configured_depth() :: non_neg_integer
  def configured_depth, do: min(Config.get(:truncation_depth), @word)

  @doc false
  @spec configured_size() :: non_neg_integer
  def configured_size, do: min(Config.get(:max_binary_size), @word)
end
