defmodule Bench.EtsTables do
  @moduledoc false
  # The design of version 2, as its documentation describes it: a table of references, and for each node a
  # table that is sorted by target. Monitors that fall due wait in a queue of the Dispatcher, which removes
  # the reference and sends the message.
  #
  # This has no outbox of instructions, which is to its advantage.

  @enforce_keys [:references, :node]
  defstruct @enforce_keys

  @type t :: %__MODULE__{references: :ets.table(), node: :ets.table()}

  @doc "Makes fresh tables."
  @spec start() :: t
  def start do
    options = [:public, write_concurrency: true]

    %__MODULE__{
      references: :ets.new(:references, [:set | options]),
      node: :ets.new(:node, [:ordered_set | options])
    }
  end

  @doc "Discards the tables."
  @spec stop(t) :: :ok
  def stop(tables) do
    :ets.delete(tables.references)
    :ets.delete(tables.node)
    :ok
  end

  @doc "Monitors a process for a subscriber."
  @spec monitor(t, pid, subscriber :: pid) :: reference
  def monitor(tables, target, subscriber) do
    ref = make_ref()
    :ets.insert(tables.references, {ref, {subscriber, node(target), target}})
    :ets.insert(tables.node, {{target, subscriber, ref}})
    ref
  end

  @doc "Removes a monitor."
  @spec demonitor(t, reference) :: boolean
  def demonitor(tables, ref) do
    case :ets.take(tables.references, ref) do
      [{^ref, {subscriber, _node, target}}] -> :ets.delete(tables.node, {target, subscriber, ref})
      [] -> false
    end
  end

  @doc "Moves the monitors of the targets to the queue."
  @spec certify(t, [{pid, term}], :queue.queue()) :: :queue.queue()
  def certify(tables, certificates, queue) do
    Enum.reduce(certificates, queue, fn {target, reason}, queue ->
      # Numbers sort before pids and references.
      fall_due(tables, :ets.next(tables.node, {target, 0, 0}), target, reason, queue)
    end)
  end

  defp fall_due(tables, {target, subscriber, ref} = row, target, reason, queue) do
    :ets.delete(tables.node, row)
    down = {:DOWN, ref, :process, target, {:zen_monitor, reason}}
    queue = :queue.in({subscriber, down}, queue)
    fall_due(tables, :ets.next(tables.node, row), target, reason, queue)
  end

  defp fall_due(_tables, _other, _target, _reason, queue), do: queue

  @doc "Sends what is in the queue, unless it was removed, and returns how much that was."
  @spec deliver(t, :queue.queue()) :: non_neg_integer
  def deliver(tables, queue), do: deliver(tables, :queue.out(queue), 0)

  defp deliver(_tables, {:empty, _queue}, sent), do: sent

  defp deliver(tables, {{:value, {subscriber, down}}, queue}, sent) do
    case :ets.take(tables.references, elem(down, 1)) do
      [_row] ->
        send(subscriber, down)
        deliver(tables, :queue.out(queue), sent + 1)

      [] ->
        deliver(tables, :queue.out(queue), sent)
    end
  end
end
