defmodule ZenMonitor.Local.Connectors do
  @moduledoc false
  # Starts the Connectors, one per node, and starts again those that die.
  #
  # Invariants:
  #
  # - It alone starts Connectors, so a node has one. Each is monitored, and replaced when it dies.
  # - Every node in the native tables has a Connector, or this process is about to start it. So a
  #   request that is lost with a killed process is made up for by its successor.
  #
  # There is no Registry: the tables know which process answers for a node, and a Registry that is
  # killed may take its name with it into the restart of its successor.

  use GenServer

  alias ZenMonitor.{Local.Connector, Native}

  # How soon to try again, in ms, when a Connector has died or its supervisor is being restarted.
  @retry 10

  def start_link(_opts), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @doc "The supervisor of the Connectors."
  def supervisor, do: ZenMonitor.Local.ConnectorSupervisor

  @doc "Has the Connector of a node started, unless it runs."
  def start(key), do: GenServer.cast(__MODULE__, {:start, key})

  @doc "The Connector of a node, started unless it runs."
  def get(key) do
    running(key) || GenServer.call(__MODULE__, {:get, key}, :infinity)
  end

  # The state is the Connectors by node.
  @impl GenServer
  def init(_opts), do: {:ok, %{}, {:continue, :start_all}}

  @impl GenServer
  def handle_continue(:start_all, connectors), do: {:noreply, start_all(connectors)}

  @impl GenServer
  def handle_call({:get, key}, from, connectors), do: get(key, from, connectors)

  @impl GenServer
  def handle_cast({:start, key}, connectors), do: {:noreply, ensure(key, connectors)}

  @impl GenServer
  def handle_info({{:DOWN, key}, _monitor, :process, pid, _reason}, connectors) do
    case connectors do
      %{^key => ^pid} ->
        # Not at once, so that one that cannot live does not keep a scheduler busy.
        Process.send_after(self(), :start_all, @retry)
        {:noreply, Map.delete(connectors, key)}

      %{} ->
        {:noreply, connectors}
    end
  end

  def handle_info({:get, key, from}, connectors), do: get(key, from, connectors)
  def handle_info(:start_all, connectors), do: {:noreply, start_all(connectors)}
  def handle_info(_other, connectors), do: {:noreply, connectors}

  defp get(key, from, connectors) do
    connectors = ensure(key, connectors)

    case connectors do
      %{^key => pid} -> GenServer.reply(from, pid)
      %{} -> Process.send_after(self(), {:get, key, from}, @retry)
    end

    {:noreply, connectors}
  end

  defp start_all(connectors), do: Enum.reduce(Native.nodes(), connectors, &ensure/2)

  defp ensure(key, connectors) when is_map_key(connectors, key), do: connectors

  # One that survived a predecessor of this process is adopted. If its exit is already under way,
  # its monitor tells.
  defp ensure(key, connectors) do
    if pid = running(key) || start_child(key) do
      :erlang.monitor(:process, pid, tag: {:DOWN, key})
      Map.put(connectors, key, pid)
    else
      Process.send_after(self(), :start_all, @retry)
      connectors
    end
  end

  defp running(key) do
    pid = Native.connector(key)
    if pid && Process.alive?(pid), do: pid
  end

  defp start_child(key) do
    {:ok, pid} = DynamicSupervisor.start_child(supervisor(), {Connector, key})
    pid
  catch
    :exit, _ -> nil
  end
end
