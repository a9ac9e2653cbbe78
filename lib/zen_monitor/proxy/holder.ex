defmodule ZenMonitor.Proxy.Holder do
  @moduledoc false
  # Holds ERTS monitors for the Proxy. The watched pids are divided among several holders by their numbers, so a mass
  # exit, or a mass subscription, is not bounded by one process.
  #
  # It is linked to the Proxy, and whichever dies takes all others with it. The monitors of one are lost then, and
  # other nodes learn of that by the death of the Proxy.
  #
  # Invariants:
  #
  # - The native tables tell it which targets need a monitor, and which monitors are not needed any more, and wake it
  #   for that.
  # - Between placing monitors and noting them it handles no message, so none of them fires before it is noted.

  use ZenMonitor.Server, restart: :temporary

  alias ZenMonitor.{Config, Native, Pace}
  alias ZenMonitor.Proxy.Exits

  # How many slices of 64 targets have their monitors placed before exits have their turn.
  @slices 16
  # A holder has the lock of the one table for a fifth of its time, so more of them would only wait for it.
  @most 4

  @doc false
  # Starts those that the Proxy, which calls this, is to have beside it.
  @spec start_all() :: [pid]
  def start_all do
    case amount(Config.get(:proxy_holders)) do
      1 -> []
      amount -> for _ <- 1..amount, do: start_linked()
    end
  end

  @doc false
  # Places a monitor on each destination.
  @spec monitor_all([ZenMonitor.destination()]) :: [reference]
  def monitor_all([]), do: []
  def monitor_all([destination | rest]), do: [monitor(destination) | monitor_all(rest)]

  # The `:DOWN` of a name tells neither how it was asked for nor what the node was called then.
  defp monitor(pid) when is_pid(pid), do: :erlang.monitor(:process, pid)
  defp monitor({name, _node} = destination), do: monitor_name(name, destination)
  defp monitor(name), do: monitor_name(name, name)

  defp monitor_name(name, destination) do
    :erlang.monitor(:process, name, tag: {:DOWN, destination})
  end

  @doc false
  @spec demonitor_all([reference]) :: :ok
  def demonitor_all(monitors), do: Enum.each(monitors, &Process.demonitor(&1, [:flush]))

  @impl true
  def init(_) do
    # A mass exit fills the mailbox, which then must not be copied by every collection.
    Process.flag(:message_queue_data, :off_heap)
    {:ok, nil}
  end

  @impl true
  def handle_continue({:next, message}, state) do
    Exits.handle_next(message, __MODULE__, state)
  end

  @impl true
  def handle_info(:wake, state) do
    if hold([], @slices), do: send(self(), :wake)
    {:noreply, state}
  end

  def handle_info({:DOWN, _monitor, :process, pid, reason}, state) do
    Exits.certify(pid, reason, false, state)
  end

  def handle_info(message, state), do: super(message, state)

  defp amount(:schedulers), do: min(System.schedulers_online(), @most)
  defp amount(amount), do: amount

  defp start_linked do
    {:ok, holder} = GenServer.start_link(__MODULE__, [], hibernate_after: Pace.hibernate_after())
    holder
  end

  # `monitors` are those that the slice before has called for. Returns whether to go on.
  defp hold(monitors, slices) do
    {destinations, released, more?} = Native.proxy_hold(monitors, slices > 0)
    demonitor_all(released)

    case destinations do
      [] -> more?
      _ -> destinations |> monitor_all() |> hold(slices - 1)
    end
  end
end
