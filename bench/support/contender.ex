defmodule Bench.Contender do
  @moduledoc false
  # What is compared: ZenMonitor, `Process.monitor/1`, and version 2 of ZenMonitor if a build of it is given.
  # Both versions are called through the API that they share.
  #
  # Unless noted otherwise, these functions run in the VM of the contender.

  alias Bench.{Options, Peer, Waiting}
  alias ZenMonitor.Local.{Connector, Dispatcher}
  alias ZenMonitor.Proxy.Batcher

  @type t :: :zen_monitor | :process | :v2

  @doc "What it is called in tables."
  @spec name(t) :: String.t()
  def name(:zen_monitor), do: "ZenMonitor"
  def name(:process), do: "Process.monitor/1"
  def name(:v2), do: "ZenMonitor 2"

  @doc "The code path of its VMs. Runs in the VM that controls the others."
  @spec code(t, Options.t()) :: [Path.t()]
  def code(:v2, options), do: Peer.other_code(options.v2)
  def code(_, _options), do: Peer.own_code()

  @typedoc """
  `:unthrottled` raises all budgets, since waiting for a budget is not a cost of the work. `:quick` keeps the
  default amounts, and only shortens the intervals.
  """
  @type settings :: :default | :unthrottled | :quick

  @doc "Starts the applications that the contender needs."
  @spec start(t, settings) :: :ok
  def start(:process, _settings), do: :ok

  def start(_, settings) do
    {:ok, _} = Application.ensure_all_started(:zen_monitor)
    if settings != :default, do: shorten_intervals()
    if settings == :unthrottled, do: raise_amounts()
    :ok
  end

  defp shorten_intervals do
    Connector.sweep_interval(10)
    Batcher.sweep_interval(10)
    Dispatcher.demand_interval(1)
  end

  defp raise_amounts do
    Connector.chunk_size(1_000_000)
    Batcher.chunk_size(1_000_000)
    Dispatcher.demand_amount(10_000_000)
  end

  @doc """
  Lets all subscriptions through at once. Scenarios with default settings measure deliveries, and would spend
  minutes on the subscriptions.
  """
  @spec place_at_once(t) :: :ok
  def place_at_once(:process), do: :ok
  def place_at_once(_), do: Connector.chunk_size(1_000_000)

  @doc "Sets how many certificates may be sent in how many ms."
  @spec report(t, pos_integer, pos_integer) :: :ok
  def report(:process, _amount, _interval), do: :ok

  def report(_, amount, interval) do
    Batcher.chunk_size(amount)
    Batcher.sweep_interval(interval)
  end

  @doc "Connects to a node whose processes are to be monitored."
  @spec connect(t, node) :: :ok
  def connect(contender, node) do
    Waiting.until(fn -> Node.connect(node) == true end)
    if contender != :process, do: Waiting.until(fn -> ZenMonitor.connect(node) == :compatible end)
    :ok
  end

  @doc "Monitors each process."
  @spec monitor(t, [pid]) :: [reference]
  def monitor(:process, pids), do: for(pid <- pids, do: Process.monitor(pid))
  def monitor(_, pids), do: for(pid <- pids, do: ZenMonitor.monitor(pid))

  @doc "Removes each monitor."
  @spec demonitor(t, [reference]) :: :ok
  def demonitor(:process, refs), do: Enum.each(refs, &Process.demonitor(&1, [:flush]))
  def demonitor(_, refs), do: Enum.each(refs, &ZenMonitor.demonitor(&1, [:flush]))

  @doc "Whether its tables are empty: no monitor of this node stands, and no subscription of another."
  @spec empty?(t) :: boolean
  def empty?(:zen_monitor) do
    sizes = ["zen_monitor.local.ets.references.size", "zen_monitor.proxy.ets.subscribers.size"]
    Enum.all?(sizes, &(ZenMonitor.Metrics.get(&1) == 0))
  end

  # The others cannot be asked.
  def empty?(_), do: true
end
