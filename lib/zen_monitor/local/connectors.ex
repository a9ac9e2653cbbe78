defmodule ZenMonitor.Local.Connectors do
  @moduledoc false
  # Starts the Connectors, one per node, and starts again those that die.
  #
  # Invariants:
  #
  # - It alone starts Connectors, so a node has one. Each is monitored, and replaced when it dies.
  # - Every node that something is monitored on has a Connector, or this process is about to start
  #   it. So a request that is lost with a killed process is made up for by its successor.
  # - A Connector that retires first makes itself unknown to the tables. Whoever monitors something
  #   after that asks for another, and what was monitored until its death is noticed is found then.
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

  # `connectors` is by node, `retry` the timer of the one `:start_all` that may be under way.
  @impl GenServer
  def init(_opts), do: {:ok, %{connectors: %{}, retry: nil}, {:continue, :start_all}}

  @impl GenServer
  def handle_continue(:start_all, state), do: {:noreply, start_all(state)}

  @impl GenServer
  def handle_call({:get, key}, from, state), do: get(key, from, state)

  @impl GenServer
  def handle_cast({:start, key}, state), do: {:noreply, ensure(key, state)}

  @impl GenServer
  def handle_info({{:DOWN, key}, _monitor, :process, pid, _reason}, state) do
    case state.connectors do
      %{^key => ^pid} = connectors ->
        state = %{state | connectors: Map.delete(connectors, key)}
        # Not at once, so that one that cannot live does not keep a scheduler busy.
        {:noreply, if(Native.connector_is_wanted(key), do: retry(state), else: state)}

      %{} ->
        {:noreply, state}
    end
  end

  def handle_info({:get, key, from}, state), do: get(key, from, state)
  def handle_info(:start_all, state), do: {:noreply, start_all(%{state | retry: nil})}
  def handle_info(_other, state), do: {:noreply, state}

  defp get(key, from, state) do
    state = ensure(key, state)

    # One that has just retired is still among the connectors.
    if pid = running(key),
      do: GenServer.reply(from, pid),
      else: Process.send_after(self(), {:get, key, from}, @retry)

    {:noreply, state}
  end

  defp start_all(state), do: Enum.reduce(Native.connectors_wanted(), state, &ensure/2)

  defp ensure(key, %{connectors: connectors} = state) when is_map_key(connectors, key), do: state

  # One that survived a predecessor of this process is adopted. If its exit is already under way,
  # its monitor tells.
  defp ensure(key, state) do
    if pid = running(key) || start_child(key) do
      :erlang.monitor(:process, pid, tag: {:DOWN, key})
      put_in(state.connectors[key], pid)
    else
      retry(state)
    end
  end

  # One for all: each of a thousand nodes would ask for a thousand starts, again and again.
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
