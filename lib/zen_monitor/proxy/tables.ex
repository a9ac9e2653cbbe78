defmodule ZenMonitor.Proxy.Tables do
  @moduledoc false
  # The janitor of the subscription table: it sweeps what departed connectors left, a slice at a
  # time, so that a connector's departure costs the Proxy nothing, and frees what a former Proxy
  # left, before whose successor it was stopped. It has no state to lose.
  #
  # It takes its time: what it sweeps is in nobody's way, and a node that has just lost another one
  # has better things to do. What does not fit into one slice waits until that is over. To take a
  # monitor back wakes the process that was monitored, so the slices are small and far between.

  use ZenMonitor.Server

  alias ZenMonitor.{Native, Proxy}

  # From the first slice to the second, in ms.
  @calm 1_000
  # From one to the next from then on. A slice takes less than half of 1 ms, in this process and in
  # the Proxy.
  @pause 4

  def start_link(_opts) do
    GenServer.start_link(__MODULE__, [], name: __MODULE__)
  end

  @impl true
  def init(_) do
    Native.proxy_answer_departures()
    Proxy.start_batchers()
    send(self(), :wake)
    {:ok, nil, {:continue, :free}}
  end

  @impl true
  def handle_continue(:free, state) do
    Native.proxy_free()
    {:noreply, state}
  end

  @impl true
  def handle_info(:wake, state), do: sweep(state, @calm)
  def handle_info(:sweep, state), do: sweep(state, @pause)
  def handle_info(message, state), do: super(message, state)

  defp sweep(state, pause) do
    if Native.proxy_sweep(), do: Process.send_after(self(), :sweep, pause)
    {:noreply, state}
  end
end
