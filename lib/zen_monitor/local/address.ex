defmodule ZenMonitor.Local.Address do
  @moduledoc false
  # How the tables call nodes and destinations. The key of a node is its name. The key of this node is
  # `ZenMonitor.Local`, because its name changes when distribution is started.

  alias ZenMonitor.Proxy

  @type key :: node | ZenMonitor.Local

  @doc "The node and the target of a destination."
  @spec of(ZenMonitor.destination()) :: {key, pid | atom}
  def of(pid) when is_pid(pid), do: {node(pid), pid}
  def of({name, node}) when is_atom(name) and is_atom(node), do: {key(node), name}
  def of(name) when is_atom(name), do: {ZenMonitor.Local, name}
  # This raises.
  def of(other), do: ZenMonitor.find_node(other)

  @doc "The key of a node."
  @spec key(node) :: key
  def key(node) when node == node(), do: ZenMonitor.Local
  def key(node) when is_atom(node), do: node

  def key(other) do
    raise ArgumentError, "expected the name of a node, got: #{inspect(other)}"
  end

  @doc "The present name of the node of a key."
  @spec node_name(key) :: node
  def node_name(ZenMonitor.Local), do: node()
  def node_name(node), do: node

  @doc "Whether the node of a key can be sent to without a connection being made."
  @spec connected?(key) :: boolean
  def connected?(ZenMonitor.Local), do: true
  # The key may also be the name of this node, when a pid of a former life of it was monitored.
  def connected?(node), do: Proxy.connected?(node)
end
