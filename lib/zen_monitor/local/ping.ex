defmodule ZenMonitor.Local.Ping do
  @moduledoc false
  # One ping of a Connector to the Proxy of its node. It runs in a process of its own, because the connection may
  # suspend whoever sends over it.
  #
  # The Connector gets `{:pong, pid, {:ok, version}, life}`, with what `Grace.life/1` returns, or
  # `{:pong, pid, failure, nil}`, where `failure` is `:noconnection` or `:error`. If none of these comes in time, it
  # gets `{:ping_timeout, pid}`. `pid` is that of the ping.

  alias ZenMonitor.{Local.Address, Local.Grace, Proxy, Wire}

  # In ms.
  @timeout 5_000

  @type t :: {pid, timer :: reference, attempt :: pos_integer}

  @doc "Starts the ping of an attempt, for the calling Connector."
  @spec start(Address.key(), attempt :: pos_integer) :: t
  def start(key, attempt) do
    connector = self()
    pid = spawn(fn -> send(connector, pong(Address.node_name(key))) end)
    {pid, Process.send_after(connector, {:ping_timeout, pid}, @timeout), attempt}
  end

  @doc "Ends a ping. A message of it may be in the mailbox already."
  @spec stop(t) :: :ok
  def stop({pid, timer, _attempt}) do
    Process.exit(pid, :kill)
    Process.cancel_timer(timer)
    :ok
  end

  defp pong(node) do
    with {:ok, version} <- Wire.ping({Proxy, node}, @timeout),
         life when life != :noconnection <- Grace.life(node) do
      {:pong, self(), {:ok, version}, life}
    else
      failure -> {:pong, self(), failure, nil}
    end
  end
end
