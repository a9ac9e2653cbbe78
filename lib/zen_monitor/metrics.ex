defmodule ZenMonitor.Metrics do
  @moduledoc """
  The counters and gauges of ZenMonitor, under the names that operators know.

  Counters are atomics in the native tables. While the supervision tree runs, they only grow. Reading them
  slows nobody but the reader.

  | name | meaning |
  |---|---|
  | `zen_monitor.local.monitor` | monitors placed |
  | `zen_monitor.local.demonitor` | monitors removed by their owners |
  | `zen_monitor.local.enqueue` | `:DOWN` messages that fell due |
  | `zen_monitor.local.batch_length` | `:DOWN` messages that wait for delivery |
  | `zen_monitor.local.message_queue_len` | length of the mailbox of `ZenMonitor.Local` |
  | `zen_monitor.local.ets.references.size` | standing monitors |
  | `zen_monitor.local.held` | monitors that wait for the lost connection to their node to come back |
  | `zen_monitor.local.sets` | sets, see `ZenMonitor.Set` |
  | `zen_monitor.local.sets.members` | members of all sets; each is a standing monitor, too |
  | `zen_monitor.local.sets.largest` | members of the largest set |
  | `zen_monitor.local.connector.enqueue` | instructions queued for remote nodes |
  | `zen_monitor.local.connector.sweep` | instructions swept by the Connectors |
  | `zen_monitor.local.dispatcher.events.delivered` | `:DOWN` messages sent |
  | `zen_monitor.local.dispatcher.events.processed` | monitors taken off the queue, removed ones too |
  | `zen_monitor.proxy.message_queue_len` | messages in the mailboxes of `ZenMonitor.Proxy` and of its holders, added up |
  | `zen_monitor.proxy.ets.subscribers.size` | standing subscriptions of remote nodes |
  | `zen_monitor.proxy.batcher.enqueue` | death certificates queued for remote nodes |
  | `zen_monitor.proxy.batcher.sweep` | death certificates swept by the Batchers |
  | `zen_monitor.malformed` | messages, instructions and certificates ignored as malformed |
  | `zen_monitor.native_memory` | bytes that native code holds in this VM, nearly all of them these tables |
  """

  alias ZenMonitor.{Local, Local.Address, Native, Proxy, Telemetry}

  # Milliseconds.
  @period 10_000

  @typedoc "The name of a metric, such as `\"zen_monitor.local.monitor\"`."
  @type name :: String.t()

  # In the order in which the native tables report them.
  @local [
    "zen_monitor.local.monitor",
    "zen_monitor.local.demonitor",
    "zen_monitor.local.ets.references.size",
    "zen_monitor.local.batch_length",
    "zen_monitor.local.enqueue",
    "zen_monitor.local.dispatcher.events.processed",
    "zen_monitor.local.dispatcher.events.delivered",
    "zen_monitor.local.connector.enqueue",
    "zen_monitor.local.connector.sweep",
    "zen_monitor.local.held"
  ]
  @proxy [
    "zen_monitor.proxy.ets.subscribers.size",
    "zen_monitor.proxy.batcher.enqueue",
    "zen_monitor.proxy.batcher.sweep"
  ]
  @sets [
    "zen_monitor.local.sets",
    "zen_monitor.local.sets.members",
    "zen_monitor.local.sets.largest"
  ]

  @doc """
  All metrics by name.
  """
  @spec all() :: %{name => non_neg_integer}
  def all do
    {subscribers, enqueued, swept} = Native.proxy_counters()
    local = Enum.zip(@local, Native.local_counters())
    proxy = Enum.zip(@proxy, [subscribers, enqueued, swept])

    queues = [
      {"zen_monitor.local.message_queue_len", waiting([Local])},
      {"zen_monitor.proxy.message_queue_len", waiting([Proxy | Native.proxy_holders()])}
    ]

    others = [
      {"zen_monitor.malformed", Native.malformed_count()},
      {"zen_monitor.native_memory", native_memory()}
    ]

    sets = Enum.zip(@sets, Tuple.to_list(Native.survey_sets()))
    Map.new(local ++ proxy ++ queues ++ others ++ sets)
  end

  @doc """
  The value of one metric.

  Raises `ArgumentError` if there is none of that name.
  """
  @spec get(name) :: non_neg_integer
  def get(name) do
    case all() do
      %{^name => value} ->
        value

      metrics ->
        raise ArgumentError,
              "unknown metric #{inspect(name)}, expected one of: " <>
                Enum.join(Map.keys(metrics), ", ")
    end
  end

  @typedoc "A node that this one watches processes of, see `snapshot/1`."
  @type remote :: %{
          node: node,
          compatibility: Local.Connector.cached_compatibility(),
          targets: non_neg_integer,
          monitors: non_neg_integer,
          held: non_neg_integer,
          instructions: non_neg_integer
        }

  @typedoc "A process of this node that has monitors, see `snapshot/1`."
  @type subscriber :: %{
          pid: pid,
          name: atom,
          monitors: non_neg_integer,
          waiting: non_neg_integer
        }

  @typedoc "A set, see `snapshot/1`."
  @type set :: %{
          ref: reference,
          owner: pid,
          members: non_neg_integer,
          waiting: non_neg_integer
        }

  @typedoc "See `snapshot/1`."
  @type snapshot :: %{
          node: node,
          time: integer,
          metrics: %{name => non_neg_integer},
          nodes: [remote],
          subscribers: [subscriber],
          sets: [set],
          complete?: boolean
        }

  @doc """
  All metrics, and where the load is: the `limit` busiest nodes and subscribers, and largest sets.

    * `node`, `time` - whose snapshot this is and its monotonic time in milliseconds
    * `metrics` - what `all/0` returns
    * `nodes` - the nodes on which processes of this node watch others, most monitors first:
      how many `targets` and `monitors` on it, the `instructions` that wait to be sent to it, and its
      `compatibility`. A monitor counts once its instruction has been sent. Monitors that are held, see
      `ZenMonitor.nodedown_grace/0`, count as `held` and not as `monitors`
    * `subscribers` - the processes that have most waiting, then those that have most monitors: how
      many `monitors`, the members of their sets included, and how many of their `:DOWN`s are `waiting`
    * `sets` - the sets that have most `members`: the reference of each, its `owner`, and how many members
      are `waiting`
    * `complete?` - whether all subscribers were looked at. A snapshot looks at them for at most some 20 ms,
      on a dirty scheduler and without stopping anybody. That is too short for millions of them
  """
  @spec snapshot(limit :: non_neg_integer) :: snapshot
  def snapshot(limit \\ 20) do
    {subscribers, sets, complete?} = Native.survey_subscribers(limit)

    %{
      node: node(),
      time: ZenMonitor.now(),
      metrics: all(),
      nodes:
        Native.survey_nodes() |> Enum.sort_by(&busy/1, :desc) |> Enum.take(limit) |> remotes(),
      subscribers: for(subscriber <- subscribers, do: subscriber(subscriber)),
      sets: for(set <- sets, do: set(set)),
      complete?: complete?
    }
  end

  defp busy({_node, targets, monitors, held, instructions}) do
    {monitors + held, targets, instructions}
  end

  defp remotes(nodes) do
    for {key, targets, monitors, held, instructions} <- nodes do
      %{
        node: Address.node_name(key),
        compatibility: Local.Connector.cached_compatibility(Address.node_name(key)),
        targets: targets,
        monitors: monitors,
        held: held,
        instructions: instructions
      }
    end
  end

  defp subscriber({pid, monitors, waiting}) do
    name =
      case Process.info(pid, :registered_name) do
        {:registered_name, name} when is_atom(name) -> name
        _ -> nil
      end

    %{pid: pid, name: name, monitors: monitors, waiting: waiting}
  end

  defp set({ref, owner, members, waiting}) do
    %{ref: ref, owner: owner, members: members, waiting: waiting}
  end

  defp waiting(processes), do: Enum.sum(for p <- processes, do: message_queue_len(p) || 0)

  # NIFs get their memory from the VM's driver allocator. When that is switched off, the VM does not know how much
  # they have.
  defp native_memory do
    case :erlang.system_info({:allocator_sizes, :driver_alloc}) do
      false ->
        0

      instances ->
        Enum.sum(
          for {:instance, _, carriers} <- instances,
              {_, properties} when is_list(properties) <- carriers,
              {:blocks, blocks} <- properties,
              {:driver_alloc, sizes} <- blocks,
              size <- sizes,
              elem(size, 0) == :size,
              do: elem(size, 1)
        )
    end
  end

  @doc """
  Has the metrics emitted every #{div(@period, 1_000)} seconds, if `telemetry_poller` is there: a
  poller under ZenMonitor's supervisor then calls `measure/0`.

  Without it this does nothing, and the metrics are read with `all/0` and `get/1`.
  """
  @spec register() :: :ok
  def register do
    # It is not a dependency, so it may not be named where the compiler looks for it.
    poller = :telemetry_poller

    if Code.ensure_loaded?(poller) do
      measurements = [{__MODULE__, :measure, []}]
      options = [name: __MODULE__.Poller, measurements: measurements, period: @period]
      Supervisor.start_child(ZenMonitor.Supervisor, apply(poller, :child_spec, [options]))
    end

    :ok
  end

  @doc """
  Emits every metric as a telemetry event, if `telemetry` is there.

  The event of `zen_monitor.local.monitor` is `[:zen_monitor, :local, :monitor]`, its measurement
  `%{value: value}`.
  """
  @spec measure() :: :ok
  def measure do
    if Code.ensure_loaded?(:telemetry) do
      for {name, value} <- all(), do: Telemetry.value(name, value)
    end

    :ok
  end

  @doc """
  The number of messages in the mailbox of a registered process or pid of this node; `nil` when
  there is no such process.
  """
  @spec message_queue_len(pid | atom) :: non_neg_integer | nil
  def message_queue_len(nil), do: nil

  def message_queue_len(name) when is_atom(name) do
    name |> Process.whereis() |> message_queue_len()
  end

  def message_queue_len(pid) when is_pid(pid) do
    case Process.info(pid, :message_queue_len) do
      {:message_queue_len, length} -> length
      nil -> nil
    end
  end
end
