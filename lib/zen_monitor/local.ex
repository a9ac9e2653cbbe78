defmodule ZenMonitor.Local do
  @moduledoc """
  The monitoring side of ZenMonitor on this node.

  `monitor/1` and `demonitor/2` run in the calling process, on native tables. The process of this name
  has one task: when a process or node with very many monitors dies, it moves these monitors to the
  queues of their subscribers, a slice at a time.
  """
  use ZenMonitor.Server

  import ZenMonitor.Setting

  alias ZenMonitor.{Local.Connector, Local.Options, Local.Placing, Native, Pace, Telemetry}

  # What falls due by a node's death is expanded in so many parts, with pauses. That takes a tenth of a second, so that the
  # first instant takes hardly more than the delivery that follows.
  @parts 32
  # What little waits is one part.
  @least 1_000
  # That takes about a millisecond. With more, the timers of other processes would be late.
  @most 6_000

  @doc """
  See `ZenMonitor.monitor/1`.
  """
  @spec monitor(ZenMonitor.destination()) :: reference
  def monitor(destination) do
    ref = make_ref()
    Placing.place(destination, ref, self())
    ref
  end

  @doc """
  See `ZenMonitor.monitor/2`.
  """
  @spec monitor(ZenMonitor.destination(), [ZenMonitor.monitor_option()]) :: reference
  def monitor(destination, []), do: monitor(destination)

  def monitor(destination, options) do
    {alias?, options} = Options.parse!(options)
    # This raises before the alias is made, which nobody could end then.
    ZenMonitor.find_node(destination)
    ref = if alias?, do: :erlang.alias([:explicit_unalias]), else: make_ref()
    Placing.place_with(destination, ref, self(), options)
    ref
  end

  @doc """
  See `ZenMonitor.demonitor/2`.
  """
  @spec demonitor(reference, [:flush | :info]) :: boolean
  def demonitor(ref, options \\ [])

  def demonitor(ref, []) when is_reference(ref) do
    Native.demonitor(ref)
    true
  end

  def demonitor(ref, [:flush]) when is_reference(ref) do
    flush(Native.demonitor(ref), ref)
    true
  end

  def demonitor(ref, options) when is_reference(ref) do
    unless options?(options) do
      raise ArgumentError,
            "expected the options of demonitor/2 to be a list of :flush and :info, got: " <>
              inspect(options)
    end

    removed = Native.demonitor(ref)
    if :flush in options, do: flush(removed, ref)
    removed == true or :info not in options
  end

  def demonitor(ref, _options) do
    raise ArgumentError, "expected a reference to demonitor, got: #{inspect(ref)}"
  end

  @doc """
  See `ZenMonitor.compatibility/1`.
  """
  @spec compatibility(ZenMonitor.destination()) :: ZenMonitor.compatibility()
  def compatibility(destination) do
    destination
    |> ZenMonitor.find_node()
    |> compatibility_for_node()
  end

  @doc """
  See `ZenMonitor.compatibility_for_node/1`.
  """
  @spec compatibility_for_node(node) :: ZenMonitor.compatibility()
  def compatibility_for_node(node), do: Connector.compatibility(node)

  @doc """
  How many `:DOWN` messages wait for delivery.
  """
  @spec batch_length() :: non_neg_integer
  def batch_length, do: Native.batch_length()

  setting(:hibernation_threshold, :hibernation_threshold, non_neg_integer, """
  After how many intervals of `ZenMonitor.Local.Dispatcher.demand_interval/0` without a delivery the
  Dispatcher hibernates.
  """)

  @doc false
  def start_link(_opts), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @impl GenServer
  def init(_opts) do
    if Native.backlog_answer(), do: Telemetry.restarted(__MODULE__, nil)
    {:ok, nil, {:continue, :expand}}
  end

  @impl GenServer
  def handle_continue(:expand, most), do: expand(most)

  @impl GenServer
  def handle_info(:wake, most), do: expand(most)
  def handle_info(other, most), do: super(other, most)

  # The state is how many monitors on nodes that are down may still be expanded before a pause, and nil if a part begins.
  defp expand(nil), do: expand(part())

  defp expand(most) do
    case Native.backlog_expand(most) do
      {_moved, false, false} -> rest()
      {moved, dead?, true} when not dead? and moved >= most -> pause()
      {moved, _dead?, _down?} -> go_on(max(most - moved, 0))
    end
  end

  # Twice what is delivered meanwhile, or the Dispatcher would run out of work where the budget is large.
  defp part do
    batch_length() |> div(@parts) |> max(2 * Pace.flow()) |> max(@least) |> min(@most)
  end

  defp rest do
    if Native.backlog_rest(), do: {:noreply, nil}, else: go_on(nil)
  end

  # Other processes come in between.
  defp go_on(most) do
    send(self(), :wake)
    {:noreply, most}
  end

  # Meanwhile the bell is rung, so nobody else wakes it.
  defp pause do
    Process.send_after(self(), :wake, Pace.gap())
    {:noreply, nil}
  end

  # Not `Enum.all?/2`, which fails in its own words for what is no proper list.
  defp options?([option | rest]) when option in [:flush, :info], do: options?(rest)
  defp options?(options), do: options == []

  # If the monitor was still there, its message cannot be in the mailbox. `:bulk` means that it was not, and that
  # the process has bulk monitors.
  defp flush(true, _ref), do: :ok

  defp flush(in_bulk, ref) do
    receive do
      {_, ^ref, _, _, _} -> :ok
    after
      0 -> if in_bulk, do: flush_bulk(%{ref => nil})
    end
  end

  @doc false
  # A message must be received to see which references it has. So all bulk messages are received, and sent again
  # in their order, without the references that are keys of `refs`. They move behind all other messages.
  def flush_bulk(refs) do
    for entries <- receive_bulk(),
        left = Enum.reject(entries, &is_map_key(refs, elem(&1, 0))),
        left != [] do
      send(self(), {:DOWN, :bulk, left})
    end
  end

  defp receive_bulk do
    receive do
      {:DOWN, :bulk, entries} -> [entries | receive_bulk()]
    after
      0 -> []
    end
  end
end
