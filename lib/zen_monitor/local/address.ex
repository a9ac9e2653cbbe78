defmodule ZenMonitor.Local.Address do
  @moduledoc false
  # What the tables know nodes and destinations by. The key of a node is its name, except for this node,
  # whose name changes when distribution is started.

  alias ZenMonitor.Proxy

  @type key :: node | ZenMonitor.Local

  @doc "The node and the target of a destination."
  @spec of(ZenMonitor.destination()) :: {key, pid | atom}
  def of(pid) when is_pid(pid), do: {node(pid), pid}
  def of({name, node}) when is_atom(name) and is_atom(node), do: {key(node), name}
  def of(name) when is_atom(name), do: {ZenMonitor.Local, name}
  # Which raises.
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
  # This node's own name has a Connector when a pid of a former life was monitored.
  def connected?(node), do: Proxy.connected?(node)
end
