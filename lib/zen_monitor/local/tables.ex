defmodule ZenMonitor.Local.Tables do
  @moduledoc false
  # Removes the monitors of dead subscribers from the native tables, in slices.
  #
  # The native library holds an ERTS monitor on each subscriber. When one dies, it notes that in the tables and
  # wakes this process. A successor of this process finds in the tables what is left to do.

  use ZenMonitor.Server

  alias ZenMonitor.Native

  def start_link(_opts), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @impl GenServer
  def init(_opts) do
    Native.departures_answer()
    {:ok, nil, {:continue, :sweep}}
  end

  @impl GenServer
  def handle_continue(:sweep, state), do: sweep(state)

  @impl GenServer
  def handle_info(:wake, state), do: sweep(state)
  def handle_info(other, state), do: super(other, state)

  defp sweep(state) do
    unless Native.departures_sweep() and Native.departures_rest(), do: send(self(), :wake)
    {:noreply, state}
  end
end
