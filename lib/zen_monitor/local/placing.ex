defmodule ZenMonitor.Local.Placing do
  @moduledoc false
  # Places a monitor, in the calling process: the NIF enters it into the tables, and the first monitor on a node
  # asks for the node's Connector.

  alias ZenMonitor.{Local.Address, Local.Connectors, Native}

  @doc "Monitors `destination` for `subscriber` under `ref`, a fresh reference of this node that is no alias."
  @spec place(ZenMonitor.destination(), reference, subscriber :: pid) :: :ok
  def place(pid, ref, subscriber) when is_pid(pid) do
    place(subscriber, node(pid), pid, ref)
  end

  def place({name, node}, ref, subscriber) when is_atom(name) and is_atom(node) do
    place(subscriber, Address.key(node), name, ref)
  end

  def place(name, ref, subscriber) when is_atom(name) do
    place(subscriber, ZenMonitor.Local, name, ref)
  end

  def place(other, _ref, _subscriber), do: ZenMonitor.find_node(other)

  @doc "The same with `options`, as `ZenMonitor.Local.Options` returns them for the NIF."
  @spec place_with(
          ZenMonitor.destination(),
          reference,
          subscriber :: pid,
          :bulk | {term, boolean}
        ) :: :ok
  def place_with(destination, ref, subscriber, options) do
    {key, target} = Address.of(destination)
    placed(Native.monitor_with(subscriber, key, target, ref, options))
  end

  defp place(subscriber, key, target, ref) do
    placed(Native.monitor(subscriber, key, target, ref))
  end

  defp placed(:ok), do: :ok
  defp placed({:start, key}), do: Connectors.start(key)

  defp placed(:alias) do
    raise ArgumentError,
          "expected a reference as make_ref/0 makes it, got an alias. " <>
            "ZenMonitor.monitor/2 has an option for a monitor with an alias"
  end
end
