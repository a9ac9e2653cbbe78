defmodule ZenMonitor.Set do
  @moduledoc """
  Many monitors under one reference.

  A process that wants to know when any of half a million others dies need not keep half a million references.
  It keeps a set:

      set = ZenMonitor.Set.new()
      2 = ZenMonitor.Set.put(set, [session, {Presence, node}])

      receive do
        {:DOWN, ref, :process, object, {:zen_monitor, reason}} when ref == set.ref -> {object, reason}
      end

  The messages are those of `ZenMonitor.monitor/1`, except that all of them have the reference of the set, its
  `ref`. `object` tells who has died: the pid, or `{name, node}`.

  A destination is in a set once, however often it is put. It is a member until its message is sent. Each member
  has the guarantees of a monitor: exactly one message unless it is deleted before, and none once `delete/3` has
  returned. A destination that is put again after its message is a new member; if the process is dead, there is
  another message, with the reason `:noproc`. Other sets, and monitors on the same process, are independent.

  A set belongs to the process that made it, its `owner`, and ends with it. Only the owner may change it. Every
  process of this node may read it.

  Lists may have any length. `put/2` and `delete/3` work through them in slices, and other processes run in between.
  If the owner is killed meanwhile, its set ends with it.
  """

  alias ZenMonitor.{Local.Connectors, Local.Destinations, Native, Set.Flush}

  @enforce_keys [:ref, :owner, :bulk]
  defstruct [:ref, :owner, :bulk]

  @typedoc "A set: what its messages carry, whose it is, and whether they come in bulk."
  @type t :: %__MODULE__{ref: reference, owner: pid, bulk: boolean}

  @typedoc "What `new/1` takes."
  @type option :: {:tag, term} | {:bulk, boolean}

  @typedoc "The message of a set with `bulk: true` and no `tag`."
  @type bulk_down ::
          {:DOWN, reference, :bulk,
           [{object :: pid | {name :: atom, node}, {:zen_monitor, reason :: term}}]}

  @doc """
  Makes an empty set, which belongs to the calling process.

    * `tag: term` - the first element of the messages, in place of `:DOWN`
    * `bulk: true` - one message has all that is due when the `ZenMonitor.Local.Dispatcher` delivers,
      up to 1,000: `{:DOWN, ref, :bulk, [{object, {:zen_monitor, reason}}]}`

  Raises `ArgumentError` for any other option.
  """
  @spec new([option]) :: t
  def new(options \\ []) do
    %{tag: tag, bulk: bulk} = options!(options, options, %{tag: :DOWN, bulk: false})
    set = %__MODULE__{ref: make_ref(), owner: self(), bulk: bulk}
    Native.set_open(set.ref, tag, bulk)
    set
  end

  @doc """
  Puts a destination, or a list of them, into a set, and returns how many are new.

  Never blocks on the network, as `ZenMonitor.monitor/1`.

  Raises `ArgumentError`, before anything is put, if an element is no `t:ZenMonitor.destination/0`, or if the set is
  closed or belongs to another process. Raises `SystemLimitError` where `ZenMonitor.monitor/1` does; a part of the
  list may be put by then.
  """
  @spec put(t, ZenMonitor.destination() | [ZenMonitor.destination()]) :: non_neg_integer
  def put(%__MODULE__{} = set, destinations) do
    own!(set)
    put(set, Destinations.list!(destinations), 0)
  end

  @doc """
  Deletes a destination, or a list of them, from a set, and returns how many were members.

  Once it has returned, no message is sent for any of them. With `flush: true` it also removes their messages from
  the mailbox, and leaves all others where they are.

  With `bulk: true`, a message may have entries to be removed and others. Such a message is received, and sent again
  with the others, and so are all later messages of the same set. They stay in their order, but move behind all
  other messages in the mailbox. If no entry is to be removed, all messages stay where they are.

  Raises `ArgumentError` as `put/2` does, except that a closed set just has nothing to delete.
  """
  @spec delete(t, ZenMonitor.destination() | [ZenMonitor.destination()], flush: boolean) ::
          non_neg_integer
  def delete(%__MODULE__{} = set, destinations, options \\ []) do
    flush? = flush!(options)
    own!(set)
    list = Destinations.list!(destinations)
    deleted = delete_all(set, list, 0)
    if flush?, do: Flush.some(set, list)
    deleted
  end

  @doc """
  Tells whether a destination is in a set: it was put, it was not deleted, and its message was not sent.

  Raises `ArgumentError` if it is no `t:ZenMonitor.destination/0`, or if the set is of another node.
  """
  @spec member?(t, ZenMonitor.destination()) :: boolean
  def member?(%__MODULE__{} = set, destination) do
    here!(set)
    Native.set_member(set.ref, Destinations.list!([destination]), node())
  end

  @doc """
  How many members a set has; 0 when it has ended.

  Raises `ArgumentError` if the set is of another node.
  """
  @spec size(t) :: non_neg_integer
  def size(%__MODULE__{} = set) do
    here!(set)

    case Native.set_size(set.ref) do
      {members, _waiting} -> members
      :closed -> 0
    end
  end

  @doc """
  The members of a set, in the order in which they were put: pids, and `{name, node}` for those by name.

  Members that are added or removed meanwhile may be among them or not. Raises `ArgumentError` if the set is of
  another node.
  """
  @spec to_list(t) :: [pid | {name :: atom, node}]
  def to_list(%__MODULE__{} = set) do
    here!(set)
    Native.set_members(set.ref, node())
  end

  @doc """
  Ends a set. Once it has returned, no message of the set is sent.

  It takes as long as deleting all members. With `flush: true` it also removes the messages of the set that are
  in the mailbox. Closing a set that has ended does nothing.

  Raises `ArgumentError` if the set belongs to another process.
  """
  @spec close(t, flush: boolean) :: :ok
  def close(%__MODULE__{} = set, options \\ []) do
    flush? = flush!(options)
    own!(set)
    close_slices(set)
    if flush?, do: Flush.all(set)
    :ok
  end

  defp put(set, list, before) do
    case Native.set_put(set.ref, list, node()) do
      added when is_integer(added) ->
        before + added

      {added, rest, unanswered} ->
        Enum.each(unanswered, &Connectors.start/1)
        if rest == :system_limit, do: :erlang.error(:system_limit)
        if rest == [], do: before + added, else: put(set, rest, before + added)

      :closed ->
        raise ArgumentError, "the set #{inspect(set.ref)} is closed: make another with new/1"

      {:owner, owner} ->
        refuse!(set, owner)
    end
  end

  defp delete_all(set, list, before) do
    case Native.set_delete(set.ref, list, node()) do
      deleted when is_integer(deleted) -> before + deleted
      :closed -> before
      {:owner, owner} -> refuse!(set, owner)
      {deleted, rest} -> delete_all(set, rest, before + deleted)
    end
  end

  defp close_slices(set) do
    case Native.set_close(set.ref) do
      false -> close_slices(set)
      {:owner, owner} -> refuse!(set, owner)
      _true_or_closed -> :ok
    end
  end

  defp own!(%{owner: owner}) when owner == self(), do: :ok

  defp own!(%{owner: owner} = set), do: refuse!(set, owner)

  @spec refuse!(t, owner :: pid) :: no_return
  defp refuse!(set, owner) do
    raise ArgumentError,
          "the set #{inspect(set.ref)} belongs to #{inspect(owner)}, and only that process " <>
            "may change it, not #{inspect(self())}"
  end

  defp here!(%{owner: owner}) when node(owner) == node(), do: :ok

  defp here!(set) do
    raise ArgumentError,
          "the set #{inspect(set.ref)} is of the node #{node(set.owner)}: ask there"
  end

  # This does not use `Keyword`, whose error for an improper list would not help.
  defp options!([{:tag, tag} | rest], all, given), do: options!(rest, all, %{given | tag: tag})

  defp options!([{:bulk, bulk} | rest], all, given) when is_boolean(bulk) do
    options!(rest, all, %{given | bulk: bulk})
  end

  defp options!([], _all, given), do: given

  defp options!(_rest, all, _given) do
    raise ArgumentError,
          "expected the options of a set to be a list of tag: term and bulk: boolean, got: " <>
            inspect(all)
  end

  defp flush!([]), do: false
  defp flush!([{:flush, flush?} | rest]) when is_boolean(flush?), do: flush? or flush!(rest)

  defp flush!(options) do
    raise ArgumentError, "expected no option but flush: boolean, got: #{inspect(options)}"
  end

  defimpl Inspect do
    # Never the members: there may be a million.
    def inspect(set, options) do
      Inspect.Algebra.concat([
        "#ZenMonitor.Set<",
        Inspect.Algebra.to_doc(set.ref, options),
        ", ",
        state(set),
        ">"
      ])
    end

    defp state(set) do
      case ZenMonitor.Native.set_size(set.ref) do
        {members, _waiting} -> "size: #{members}"
        :closed when node(set.owner) == node() -> "closed"
        :closed -> "on #{node(set.owner)}"
      end
    rescue
      # The application does not run.
      ErlangError -> "closed"
    end
  end
end
