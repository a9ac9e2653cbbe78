defmodule Bench.NativeTables do
  @moduledoc false
  # The native tables by themselves: without the processes of ZenMonitor and without another node.
  #
  # The monitored pids are made up: those that a node would give to processes that it starts one after the other.
  # The calling process does the work of the Connector. It takes the instructions as if it had sent them. So the
  # tables get into the state in which all monitors have been placed on the other node.

  alias ZenMonitor.{Metrics, Native}

  @node :"bench@127.0.0.1"
  @name Atom.to_string(@node)

  @doc "Makes fresh tables."
  @spec start() :: :ok
  def start do
    Native.start()
    Native.connector_answer(@node)
    :ok
  end

  @doc "Discards the tables."
  @spec stop() :: :ok
  def stop do
    Native.stop()
    Native.free()
  end

  @doc "Starts a process that monitors so many pids, from the nth on. It lives on, and keeps no references."
  @spec subscriber(non_neg_integer, pos_integer) :: pid
  def subscriber(from, amount) do
    owner = self()
    tag = make_ref()

    subscriber =
      spawn(fn ->
        for i <- from..(from + amount - 1), do: ZenMonitor.monitor(pid(i))
        send(owner, tag)
        :erlang.hibernate(__MODULE__, :idle, [])
      end)

    receive do: (^tag -> settle())
    subscriber
  end

  @doc "Has a process of its own make the pids of so many, from the nth on, and nothing else."
  @spec make_pids(non_neg_integer, pos_integer) :: :ok
  def make_pids(from, amount) do
    {maker, monitor} = spawn_monitor(fn -> for i <- from..(from + amount - 1), do: pid(i) end)
    receive do: ({:DOWN, ^monitor, :process, ^maker, :normal} -> :ok)
  end

  @doc "Loses the node. Returns how many µs it takes to make all monitors of it due."
  @spec expire() :: non_neg_integer
  def expire do
    {time, _} = :timer.tc(fn -> Native.connector_expire(@node) end)
    time
  end

  @doc false
  def idle, do: receive(do: (:never -> :ok))

  @doc "The nth process of the other node."
  @spec pid(non_neg_integer) :: pid
  def pid(i) do
    # 2^15 processes share a serial.
    <<131, 88, 119, byte_size(@name), @name::binary, rem(i, 32_768)::32, div(i, 32_768)::32,
      1::32>>
    |> :erlang.binary_to_term()
  end

  @doc "Places a bulk monitor on a pid for a process."
  @spec monitor_in_bulk(pid, subscriber :: pid) :: term
  def monitor_in_bulk(pid, subscriber) do
    Native.monitor_with(subscriber, @node, pid, make_ref(), :bulk)
  end

  @doc "Takes all instructions that wait, and confirms them as if they had been sent."
  @spec settle() :: :ok
  def settle do
    {_, emptied?} = Native.connector_take(@node, @node, 1_000_000)
    Native.connector_confirm(@node)
    if emptied?, do: Native.connector_rest(@node) && :ok, else: settle()
  end

  @doc "Makes the monitors of the targets due, as the Connector does with certificates."
  @spec certify([{pid, term}]) :: :ok
  def certify([]), do: :ok

  def certify(certificates) do
    {:ok, rest, [], 0} = Native.connector_certify(@node, certificates, :none)
    certify(rest)
  end

  @doc "Sends everything that is due, as the Dispatcher does, and returns how many messages that was."
  @spec deliver() :: non_neg_integer
  def deliver do
    {0, false, false} = Native.backlog_expand(0)

    case Native.dispatcher_deliver(node(), 1_000_000, :all) do
      {sent, true} -> sent + deliver()
      {sent, false} -> sent
    end
  end

  @doc "How many monitors stand."
  @spec standing() :: non_neg_integer
  def standing, do: Metrics.get("zen_monitor.local.ets.references.size")
end
