defmodule ZenMonitor.Local.Connectors do
  @moduledoc false
  # Starts the Connectors, one per node, and starts again those that die.
  #
  # Invariants:
  #
  # - It alone starts Connectors, so a node has one. Each is monitored, and replaced when it dies.
  # - Every node on which something is monitored has a Connector, or this process is about to start it. If
  #   a request is lost because this process is killed, its successor starts all Connectors that are missing.
  # - A Connector that retires first removes itself from the tables. A caller that monitors something after
  #   that asks for another one. If the request comes before the retired one is seen to be dead, the Connector is
  #   started then.
  #
  # There is no Registry: the tables know which process answers for a node. When a Registry is killed, parts of
  # it may live on for a moment with their names, so that it cannot be started again.

  use ZenMonitor.Server

  alias ZenMonitor.{Local.Connector, Native}

  # How soon to try again, in ms, when a Connector has died or its supervisor is being restarted.
  @retry 10

  def start_link(_opts), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @doc "The supervisor of the Connectors."
  def supervisor, do: ZenMonitor.Local.ConnectorSupervisor

  @doc "Asks for the Connector of a node to be started, unless it runs."
  def start(key), do: GenServer.cast(__MODULE__, {:start, key})

  @doc "The Connector of a node, started unless it runs."
  def get(key) do
    running(key) || GenServer.call(__MODULE__, {:get, key}, :infinity)
  end

  # `connectors` has the pids by node. `retry` is the timer of the one `:start_all` that may be under way.
  @impl GenServer
  def init(_opts), do: {:ok, %{connectors: %{}, retry: nil}, {:continue, :start_all}}

  @impl GenServer
  def handle_continue(:start_all, state), do: {:noreply, start_all(state)}

  @impl GenServer
  def handle_call({:get, key}, {pid, _tag} = from, state) when is_atom(key) and is_pid(pid) do
    get(key, from, state)
  end

  def handle_call(message, from, state), do: super(message, from, state)

  @impl GenServer
  def handle_cast({:start, key}, state) when is_atom(key), do: {:noreply, ensure(key, state)}
  def handle_cast(message, state), do: super(message, state)

  @impl GenServer
  def handle_info({{:DOWN, key}, _monitor, :process, pid, _reason}, state) do
    case state.connectors do
      %{^key => ^pid} = connectors ->
        state = %{state | connectors: Map.delete(connectors, key)}

        # It is started a little later, so that a Connector that dies at once does not keep a scheduler busy.
        {:noreply, if(Native.connector_is_wanted(key), do: retry(state), else: state)}

      %{} ->
        {:noreply, state}
    end
  end

  def handle_info({:get, key, {pid, _tag} = from}, state) when is_atom(key) and is_pid(pid) do
    get(key, from, state)
  end

  def handle_info(:start_all, state), do: {:noreply, start_all(%{state | retry: nil})}
  def handle_info(other, state), do: super(other, state)

  defp get(key, from, state) do
    state = ensure(key, state)

    # A Connector that has just retired may still be among the connectors.
    if pid = running(key),
      do: GenServer.reply(from, pid),
      else: Process.send_after(self(), {:get, key, from}, @retry)

    {:noreply, state}
  end

  defp start_all(state), do: Enum.reduce(Native.connectors_wanted(), state, &ensure/2)

  defp ensure(key, %{connectors: connectors} = state) when is_map_key(connectors, key), do: state

  # A Connector that was started by a predecessor of this process is adopted. If it is dying, the monitor tells.
  defp ensure(key, state) do
    if pid = running(key) || start_child(key) do
      :erlang.monitor(:process, pid, tag: {:DOWN, key})
      put_in(state.connectors[key], pid)
    else
      retry(state)
    end
  end

  # One timer for all: otherwise each of a thousand nodes would ask for a thousand starts, again and again.
  defp retry(%{retry: nil} = state) do
    %{state | retry: Process.send_after(self(), :start_all, @retry)}
  end

  defp retry(state), do: state

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
