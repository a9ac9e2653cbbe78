defmodule ZenMonitor.Proxy.Tables do
  @moduledoc false
  # The janitor of the subscription table. It sweeps what departed connectors left, a slice at a time, so that a
  # connector's departure costs the Proxy nothing. It is started after each Proxy, and frees what the former one
  # left. It has no state to lose.
  #
  # It takes its time. What it sweeps is in nobody's way, and a node that has just lost another one has better things
  # to do. So all but a little waits until that is over.

  use ZenMonitor.Server

  alias ZenMonitor.{Native, Proxy}

  # Between two slices, in ms. A slice takes less than half of one, in this process and in the Proxy.
  @pause 2
  # More rows than this are put off, and for how long, in ms.
  @little 1_000
  @calm 1_000

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
  def handle_info(:wake, state), do: sweep(@calm, state)
  def handle_info(:sweep, state), do: sweep(@pause, state)
  def handle_info(message, state), do: super(message, state)

  # `pause` is before the next slice if much is left.
  defp sweep(pause, state) do
    case Native.proxy_sweep() do
      {true, left} when left > @little -> Process.send_after(self(), :sweep, pause)
      {true, _left} -> Process.send_after(self(), :sweep, @pause)
      {false, _left} -> :ok
    end

    {:noreply, state}
  end
end
