defmodule ZenMonitor do
  @moduledoc """
  A drop-in replacement for `Process.monitor/1` between nodes, for systems that monitor hundreds of
  thousands of remote processes.

  ```elixir
  ref = ZenMonitor.monitor(pid)

  receive do
    {:DOWN, ^ref, :process, object, {:zen_monitor, reason}} -> {object, reason}
  end
  ```

  A `:DOWN` message differs from that of `Process.monitor/1` only in its reason. The reason is wrapped in
  `{:zen_monitor, reason}`, so that you can tell the two apart, and truncated as `ZenMonitor.Truncator`
  describes. `object` is the monitored pid, or `{name, node}` for a process monitored by name. `reason` is

    * the exit reason;
    * `:noproc`, when there was no such process by the time its node heard of the monitor;
    * `:nodedown`, when the connection to its node was lost, when there was none in the first place
      (ZenMonitor does not connect nodes), or when that node does not run ZenMonitor.

  Every monitor that is not removed fires exactly once. No monitor fires after `demonitor/2` has
  returned.

  A process that watches thousands can use a `ZenMonitor.Set`, which has one reference for all of them.

  The [README](README.md#configuration) lists the configuration. The guides tell
  [what differs](guides/differences.md) from `Process.monitor/1`,
  [how to operate](guides/operations.md) a cluster with ZenMonitor in it, and
  [how it works](guides/architecture.md).
  """

  alias ZenMonitor.{Config, Info, Local, Metrics}

  @typedoc "What can be monitored: a pid, a name on a node, or a name on this node."
  @type destination :: pid | {name :: atom, node} | (name :: atom)

  @typedoc "Whether a node runs ZenMonitor, as far as is known without asking it."
  @type compatibility :: :compatible | :incompatible

  @typedoc "What `monitor/2` takes."
  @type monitor_option :: {:tag, term} | {:alias, :explicit_unalias} | {:bulk, boolean}

  @typedoc "The message of a bulk monitor, see `monitor/2`."
  @type bulk_down ::
          {:DOWN, :bulk,
           [{reference, object :: pid | {name :: atom, node}, {:zen_monitor, reason :: term}}]}

  @doc """
  Monitors `destination` and returns a fresh reference.

  Never blocks on the network. If `destination` does not exist, its `:DOWN` message says so. The same
  process may monitor the same destination many times: each reference fires once. The monitors of a
  process end with it.

  Raises `ArgumentError` if `destination` is no `t:destination/0`. Raises `SystemLimitError` if
  processes of this node have 2²⁷ - 1 monitors on it already, or 2³⁰ monitors altogether. The
  [guide to the tables](guides/monitor_table.md#limits) has all limits.
  """
  @spec monitor(destination) :: reference
  defdelegate monitor(destination), to: Local

  @doc """
  Monitors `destination` like `monitor/1`, with options:

    * `tag: term` - the first element of the message, in place of `:DOWN`, as in `Process.monitor/2`
    * `alias: :explicit_unalias` - the reference is also an alias of the calling process, until the process
      calls `:erlang.unalias/1`. The other modes of `Process.monitor/2` are not possible: with them, the
      alias ends together with the monitor, and only the process itself can end it
    * `bulk: true` - the message comes together with those of other monitors, see below

  A process that monitors thousands can get one message instead of thousands. Its bulk monitors share one:

  ```elixir
  {:DOWN, :bulk, [{ref, object, {:zen_monitor, reason}}]}
  ```

  The message has everything that is due for the process when the `ZenMonitor.Local.Dispatcher` delivers,
  whether that is one entry or a thousand. More than 1,000 entries, or many different large reasons, take a
  second message. Each entry counts as one towards `ZenMonitor.Local.Dispatcher.demand_amount/0`. Only
  monitors that were placed with `bulk: true` share a message. No other option can be used with it.

  `demonitor/2` keeps its promise: once it has returned, the reference is in no message that is
  sent later. With `:flush` it also takes the entry out of a message that is in the mailbox already.
  For that it receives all bulk messages, and sends those that still have entries to the
  calling process again: in their order, but behind all other messages.

  Monitors with and without options are queued separately, so the order between the two is not kept.

  Raises `ArgumentError` if `destination` is no `t:destination/0`, for an option that is not
  listed here, and for `bulk: true` together with another option.
  """
  @spec monitor(destination, [monitor_option]) :: reference
  defdelegate monitor(destination, options), to: Local

  @doc """
  Removes a monitor that the calling process has placed.

  Once it has returned, no `:DOWN` message for `ref` will be sent. An unknown reference, or one of
  another process, is left alone. The options are those of `Process.demonitor/2`:

    * `:flush` - also removes the `:DOWN` message from the mailbox, if it is there already
    * `:info` - returns whether the monitor was found and removed: `false` means that its `:DOWN`
      message was sent before, or that there was no such monitor

  Without `:info` the answer is always `true`.

  Raises `ArgumentError` if `ref` is not a reference or `options` holds anything else.
  """
  @spec demonitor(reference, [:flush | :info]) :: boolean
  defdelegate demonitor(ref, options \\ []), to: Local

  @doc """
  Monitors each destination of a list, as `monitor/2` does with the same options, and returns the
  references, in the order of the list.

  It takes somewhat less time than as many single calls; with `tag:` or `alias:` it takes the same. However
  long the list is, other processes run in between. If you do not need the references, use a
  `ZenMonitor.Set`.

  Raises `ArgumentError`, before anything is monitored, if an element is no `t:destination/0`. Raises
  `SystemLimitError` where `monitor/2` does; then none of the monitors stays.
  """
  @spec monitor_all([destination], [monitor_option]) :: [reference]
  defdelegate monitor_all(destinations, options \\ []), to: Local.Several

  @doc """
  Removes a list of monitors that the calling process has placed, and returns how many it had. The `:DOWN`s of the
  others were sent before, or there never was such a monitor.

  Once it has returned, no `:DOWN` message for any of them will be sent. The option `:flush` is that of
  `demonitor/2`.

  Raises `ArgumentError` if an element is no reference, or for any other option.
  """
  @spec demonitor_all([reference], [:flush]) :: non_neg_integer
  defdelegate demonitor_all(refs, options \\ []), to: Local.Several

  @doc """
  Tells whether the node of `destination` is known to run ZenMonitor.

  Reads a cache, without the network or a process call. A node that is not known counts as
  `:incompatible`; `connect/1` finds out.
  """
  @spec compatibility(destination) :: compatibility
  defdelegate compatibility(destination), to: Local

  @doc """
  Like `compatibility/1`, for a node.
  """
  @spec compatibility_for_node(node) :: compatibility
  defdelegate compatibility_for_node(node), to: Local

  @doc """
  Finds out whether `node` runs ZenMonitor.

  If the cache has the answer, returns that. Otherwise the Proxy of that node is pinged, once for all
  callers that ask. A node that is not connected is `:incompatible`, and is not asked.
  """
  @spec connect(node) :: compatibility
  defdelegate connect(node), to: Local.Connector

  @doc """
  What this node watches, and for whom, at a glance.

    * `monitors` - how many stand; `waiting` of them are due and not delivered, and `held` of them are on
      nodes whose connection was lost and may come back (`nodedown_grace/0`)
    * `watched_for_others` - how many subscriptions other nodes (and this one) have to processes of this node
    * `sets` - how many sets there are; `members` of the monitors are members of sets
    * `nodes`, `subscribers`, `largest_sets` - the busiest nodes and subscribers and the sets with most
      members, as in `ZenMonitor.Metrics.snapshot/1`
  """
  @spec info() :: %{
          node: node,
          version: String.t(),
          monitors: non_neg_integer,
          waiting: non_neg_integer,
          held: non_neg_integer,
          watched_for_others: non_neg_integer,
          sets: non_neg_integer,
          members: non_neg_integer,
          nodes: [Metrics.remote()],
          subscribers: [Metrics.subscriber()],
          largest_sets: [Metrics.set()]
        }
  defdelegate info, to: Info, as: :all

  @doc """
  What a process monitors, and who monitors it, as this node knows it.

    * `monitored` - how many monitors processes of this node have on it that are not due;
      `monitored_by` are some of these processes
    * `watched_by` - for a process of this node: the nodes whose ZenMonitor has subscribed to it

  and for a running process of this node also

    * `monitors` - how many monitors it has, including the members of its sets; `waiting` is how many of their
      `:DOWN`s are due, and `monitoring` some of those with a reference, as `{reference, object}`
    * `sets` - its sets: the reference, the number of `members`, and how many of these are `waiting`

  Lists have at most 64 elements, that of monitors at most 64 of each kind. Raises `ArgumentError` if
  `destination` is no `t:destination/0`.
  """
  @spec info(destination) :: %{
          optional(:monitors) => non_neg_integer,
          optional(:waiting) => non_neg_integer,
          optional(:monitoring) => [{reference, pid | {atom, node}}],
          optional(:sets) => [
            %{ref: reference, members: non_neg_integer, waiting: non_neg_integer}
          ],
          monitored: non_neg_integer,
          monitored_by: [pid],
          watched_by: [node]
        }
  defdelegate info(destination), to: Info, as: :of

  @doc """
  The module whose `call/3` and `cast/2` reach remote Proxies: `GenServer`, unless `:gen_module` is
  configured.
  """
  @spec gen_module() :: module
  def gen_module, do: Config.get(:gen_module)

  @doc """
  Changes `gen_module/0`, from the next call or cast on.

  `module` must export `call/3` and `cast/2` as `GenServer` does. Raises `ArgumentError` if it is
  not a module name.
  """
  @spec gen_module(module) :: :ok
  def gen_module(module), do: Config.put(:gen_module, module)

  @doc """
  After how long without work, in milliseconds, a Connector stops, because nothing is monitored on its
  node, and a Batcher, because its node monitors nothing here. `:infinity` means never.

  The next monitor starts them again.
  """
  @spec idle_timeout() :: pos_integer | :infinity
  def idle_timeout, do: Config.get(:idle_timeout)

  @doc """
  Changes `idle_timeout/0`, for every process that comes to rest from now on.

  Raises `ArgumentError` unless it is `:infinity` or a positive integer below 2³².
  """
  @spec idle_timeout(pos_integer | :infinity) :: :ok
  def idle_timeout(value), do: Config.put(:idle_timeout, value)

  @doc """
  How long, in milliseconds, the monitors on a node whose connection is lost are held before they fire
  with `:nodedown`. 0, the default, means that they fire at once.

  If the node is connected again within that time, has not been restarted, and its ZenMonitor
  answers, its processes are watched again. Monitors of processes that live go on as if nothing had
  happened. Monitors of processes that have died meanwhile fire with `:noproc`. In all other cases
  all of them fire with `:nodedown`. New monitors on the node wait as well. `demonitor/2` works as always.

  ZenMonitor does not connect the node again; whatever connects your nodes does that. Until the node's
  ZenMonitor has answered, `compatibility/1` returns `:incompatible`, as it does without a grace.
  [How to choose it](guides/operations.md#connections-that-come-back).
  """
  @spec nodedown_grace() :: non_neg_integer
  def nodedown_grace, do: Config.get(:nodedown_grace)

  @doc """
  Changes `nodedown_grace/0`, for every connection that is lost from now on.

  Raises `ArgumentError` unless it is a non-negative integer below 2³².
  """
  @spec nodedown_grace(non_neg_integer) :: :ok
  def nodedown_grace(value), do: Config.put(:nodedown_grace, value)

  @doc """
  The monotonic time, in milliseconds.
  """
  @spec now() :: integer
  def now, do: System.monotonic_time(:millisecond)

  @doc """
  The node of a destination. A bare name is on this node.

  Raises `ArgumentError` if `destination` is none of `t:destination/0`.
  """
  @spec find_node(destination) :: node
  def find_node(destination)

  def find_node(pid) when is_pid(pid), do: node(pid)
  def find_node({name, node}) when is_atom(name) and is_atom(node), do: node
  def find_node(name) when is_atom(name), do: node()

  def find_node(other) do
    raise ArgumentError,
          "expected a pid, {name, node} or a registered name to monitor, got: #{inspect(other)}"
  end
end
