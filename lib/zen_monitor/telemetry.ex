defmodule ZenMonitor.Telemetry do
  @moduledoc """
  The events that ZenMonitor emits where `:telemetry` is present.

  They come from sweeps and deliveries, never from `ZenMonitor.monitor/1` or
  `ZenMonitor.demonitor/2`. So there is one event for a batch, however large the batch is. Without `:telemetry`
  they cost nothing but seeing that it is not there.

  | event | measurements | metadata |
  |---|---|---|
  | `[:zen_monitor, :connector, :sweep]`: instructions went to a node | `duration`, `instructions`, `queue` left | `node` |
  | `[:zen_monitor, :connector, :certificates]`: news came from a node | `duration`, `certificates` | `node` |
  | `[:zen_monitor, :connector, :shed]`: a node cannot be told, or more than `max_pending_instructions` wait for it, so monitors on it fire with `:nodedown` | `targets` | `node` |
  | `[:zen_monitor, :dispatcher, :delivery]`: `:DOWN`s were delivered | `duration`, `delivered`, `queue` left | |
  | `[:zen_monitor, :batcher, :sweep]`: certificates went to a node | `duration`, `certificates`, `queue` left | `node` |
  | `[:zen_monitor, :proxy, :malformed]`: instructions of a node were ignored | `instructions` | `node` |
  | `[:zen_monitor, :proxy, :shed]`: more than `max_pending_certificates` wait because the connection to a node does not take them, so these go out later, and their reasons may be lost | `certificates` | `node` |
  | `[:zen_monitor, :node, :up]`: a node takes part from now on | | `node` |
  | `[:zen_monitor, :node, :down]`: the connection to it is gone | | `node` |
  | `[:zen_monitor, :node, :held]`: and the monitors on it are held, see `ZenMonitor.nodedown_grace/0` | `monitors`, `grace` | `node` |
  | `[:zen_monitor, :node, :resumed]`: it is back, and all that was held has been handed to the Connector again, `duration` after the loss | `duration`, `targets`, `monitors` | `node` |
  | `[:zen_monitor, :node, :incompatible]`: it does not take part, and is not asked again for `penalty` | `penalty` | `node`, `attempt` |
  | `[:zen_monitor, :process, :restart]`: a process took over from one that died, with what waited for it | `recovered` | `process`, `node` |

  `duration` is in `:native` units, `penalty` and `grace` in milliseconds; all others are counts. `node` is
  the other node, and this one for what concerns itself. `process` is a module of ZenMonitor, and
  `recovered` counts instructions for a `ZenMonitor.Local.Connector`, certificates for a
  `ZenMonitor.Proxy.Batcher`, and `:DOWN`s for `ZenMonitor.Local` and `ZenMonitor.Local.Dispatcher`.
  It is 0 for a `ZenMonitor.Proxy`, which begins anew: the monitors of other nodes have fired.

  `ZenMonitor.Metrics.measure/0` emits the counters and gauges as further events, those of sets among them.

  ## With telemetry_metrics

  ```elixir
  import Telemetry.Metrics

  [
    last_value("zen_monitor.local.ets.references.size.value"),
    last_value("zen_monitor.local.batch_length.value"),
    last_value("zen_monitor.local.sets.value"),
    last_value("zen_monitor.local.sets.members.value"),
    last_value("zen_monitor.local.sets.largest.value"),
    last_value("zen_monitor.proxy.ets.subscribers.size.value"),
    last_value("zen_monitor.native_memory.value", unit: :byte),
    sum("zen_monitor.connector.sweep.instructions", tags: [:node]),
    last_value("zen_monitor.connector.sweep.queue", tags: [:node]),
    distribution("zen_monitor.connector.sweep.duration", tags: [:node], unit: {:native, :millisecond}),
    sum("zen_monitor.connector.certificates.certificates", tags: [:node]),
    sum("zen_monitor.connector.shed.targets", tags: [:node]),
    sum("zen_monitor.dispatcher.delivery.delivered"),
    last_value("zen_monitor.dispatcher.delivery.queue"),
    distribution("zen_monitor.dispatcher.delivery.duration", unit: {:native, :millisecond}),
    sum("zen_monitor.batcher.sweep.certificates", tags: [:node]),
    last_value("zen_monitor.batcher.sweep.queue", tags: [:node]),
    sum("zen_monitor.proxy.malformed.instructions", tags: [:node]),
    sum("zen_monitor.proxy.shed.certificates", tags: [:node]),
    counter("zen_monitor.node.incompatible.penalty", tags: [:node]),
    sum("zen_monitor.node.held.monitors", tags: [:node]),
    sum("zen_monitor.node.resumed.monitors", tags: [:node]),
    counter("zen_monitor.process.restart.recovered", tags: [:process])
  ]
  ```
  """

  # `:telemetry` is not a dependency, so the compiler must not look for it.
  @telemetry :telemetry

  alias ZenMonitor.{Local, Native, Proxy}

  @doc false
  # Whether the module is loaded. Whoever attaches a handler loads it.
  @spec attached?() :: boolean
  def attached?, do: :erlang.function_exported(@telemetry, :execute, 3)

  @doc false
  # The time at which a measurement begins, for the functions below. Only they look for `:telemetry`, when what is measured
  # is done, since that takes longer than a look at the clock.
  @spec began() :: integer
  def began, do: System.monotonic_time()

  @doc false
  def connector_sweep(_began, _key, 0), do: :ok

  def connector_sweep(began, key, instructions) do
    if attached?() do
      queue = Native.outbox_len(key)
      measurements = %{duration: since(began), instructions: instructions, queue: queue}
      execute([:connector, :sweep], measurements, %{node: name(key)})
    end

    :ok
  end

  @doc false
  def connector_certificates(began, key, certificates) do
    if attached?() do
      measurements = %{duration: since(began), certificates: certificates}
      execute([:connector, :certificates], measurements, %{node: name(key)})
    end

    :ok
  end

  @doc false
  def shed(_key, 0), do: :ok

  def shed(key, targets) do
    if attached?(), do: execute([:connector, :shed], %{targets: targets}, %{node: name(key)})
    :ok
  end

  @doc false
  def delivery(_began, 0), do: :ok

  def delivery(began, delivered) do
    if attached?() do
      queue = Native.batch_length()
      measurements = %{duration: since(began), delivered: delivered, queue: queue}
      execute([:dispatcher, :delivery], measurements, %{})
    end

    :ok
  end

  @doc false
  def batcher_sweep(_began, _connector, _native, 0), do: :ok

  def batcher_sweep(began, connector, native, sent) do
    if attached?() do
      # What was sent is still counted there.
      queue = Native.proxy_outbox_len(native) - sent
      measurements = %{duration: since(began), certificates: sent, queue: queue}
      execute([:batcher, :sweep], measurements, %{node: node(connector)})
    end

    :ok
  end

  @doc false
  def malformed(_node, []), do: :ok

  def malformed(node, malformed) do
    if attached?() do
      execute([:proxy, :malformed], %{instructions: length(malformed)}, %{node: node})
    end

    :ok
  end

  @doc false
  def certificates_shed(_node, 0), do: :ok

  def certificates_shed(node, certificates) do
    if attached?(), do: execute([:proxy, :shed], %{certificates: certificates}, %{node: node})
    :ok
  end

  @doc false
  def node_up(key), do: node_event(:up, %{}, %{node: name(key)})

  @doc false
  def node_down(key), do: node_event(:down, %{}, %{node: name(key)})

  @doc false
  def node_held(key, monitors, grace) do
    node_event(:held, %{monitors: monitors, grace: grace}, %{node: name(key)})
  end

  @doc false
  # `duration` in milliseconds.
  def node_resumed(key, targets, monitors, duration) do
    duration = System.convert_time_unit(duration, :millisecond, :native)
    measurements = %{duration: duration, targets: targets, monitors: monitors}
    node_event(:resumed, measurements, %{node: name(key)})
  end

  @doc false
  def node_incompatible(key, penalty, attempt) do
    node_event(:incompatible, %{penalty: penalty}, %{node: name(key), attempt: attempt})
  end

  @doc false
  # A process has taken the place of another one. It begins with what waits in the tables.
  def restarted(Local.Connector, key) do
    restart(Local.Connector, fn -> Native.outbox_len(key) end, name(key))
  end

  def restarted(Proxy.Batcher, {connector, native}) do
    restart(Proxy.Batcher, fn -> Native.proxy_outbox_len(native) end, node(connector))
  end

  def restarted(process, nil) when process in [Local, Local.Dispatcher] do
    restart(process, fn -> Native.batch_length() end, node())
  end

  def restarted(Proxy, nil), do: restart(Proxy, fn -> 0 end, node())

  defp restart(process, recovered, node) do
    if attached?() do
      metadata = %{process: process, node: node}
      execute([:process, :restart], %{recovered: recovered.()}, metadata)
    end

    :ok
  end

  @doc false
  # Emits a gauge or counter of `ZenMonitor.Metrics`.
  def value(name, value) do
    execute(
      name |> String.split(".") |> tl() |> Enum.map(&String.to_atom/1),
      %{value: value},
      %{}
    )
  end

  defp node_event(change, measurements, metadata) do
    if attached?(), do: execute([:node, change], measurements, metadata)
    :ok
  end

  defp execute(event, measurements, metadata) do
    apply(@telemetry, :execute, [[:zen_monitor | event], measurements, metadata])
  end

  @doc false
  # How many elements a list has. The list may come from another node, so it may be improper.
  def count(list), do: count(list, 0)

  defp count([_ | rest], number), do: count(rest, number + 1)
  defp count(_end, number), do: number

  defp since(began), do: System.monotonic_time() - began

  defp name(ZenMonitor.Local), do: node()
  defp name(node), do: node
end
