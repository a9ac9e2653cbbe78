defmodule Bench.Octets do
  @moduledoc false
  # Counts what goes over the connection between two nodes. Runs in the VM of one of them.

  @doc "How many octets were received from a node so far, and how many were sent to it."
  @spec with(node) :: {received :: non_neg_integer, sent :: non_neg_integer}
  def with(node) do
    {^node, port} = List.keyfind(:erlang.system_info(:dist_ctrl), node, 0)
    {:ok, [recv_oct: received, send_oct: sent]} = :inet.getstat(port, [:recv_oct, :send_oct])
    {received, sent}
  end
end
