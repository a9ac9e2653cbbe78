defmodule ZenMonitor.Proxy.Tables do
  @moduledoc false
  # The janitor of the subscription table: it sweeps what departed connectors left, a slice at a
  # time, so that a connector's departure costs the Proxy nothing, and frees what a former Proxy
  # left, before whose successor it was stopped. It has no state to lose.
  #
  # It takes its time: what it sweeps is in nobody's way, and a node that has just lost another one
  # has better things to do.

  use GenServer

  alias ZenMonitor.{Native, Proxy}

  # Between two slices, in ms. A slice takes less than half of one, in this process and in the Proxy.
  @pause 2

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
  def handle_info(:wake, state) do
    if Native.proxy_sweep(), do: Process.send_after(self(), :wake, @pause)
    {:noreply, state}
  end

  def handle_info(_message, state), do: {:noreply, state}
end
