defmodule ZenMonitor.Local.Dispatcher do
  @moduledoc """
  Delivers `:DOWN` messages, at most `demand_amount/0` of them per `demand_interval/0`.

  The subscribers that have messages waiting take turns, one message each; each gets its own in the
  order in which they fell due.
  """
  use GenServer

  alias ZenMonitor.{Config, Local, Native, Pace, Telemetry}

  @doc """
  The shortest time between two deliveries, in milliseconds.
  """
  @spec demand_interval() :: pos_integer
  def demand_interval, do: Config.get(:demand_interval)

  @doc """
  Changes `demand_interval/0`. Raises `ArgumentError` unless it is a positive integer
  below 2³².
  """
  @spec demand_interval(pos_integer) :: :ok
  def demand_interval(value), do: Config.put(:demand_interval, value)

  @doc """
  How many `:DOWN` messages one delivery sends at most.
  """
  @spec demand_amount() :: pos_integer
  def demand_amount, do: Config.get(:demand_amount)

  @doc """
  Changes `demand_amount/0`. Raises `ArgumentError` unless it is a positive integer
  below 2³².
  """
  @spec demand_amount(pos_integer) :: :ok
  def demand_amount(value), do: Config.put(:demand_amount, value)

  @doc """
  The greatest number of `:DOWN` messages per second that the settings allow.
  """
  @spec maximum_mps() :: float
  def maximum_mps, do: demand_amount() * (1_000 / demand_interval())

  @doc false
  def start_link(_opts), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @impl GenServer
  def init(_opts) do
    {:ok, pace(Native.dispatcher_answer()), {:continue, :request}}
  end

  defp pace(false), do: Pace.new()

  defp pace(true) do
    Telemetry.restarted(__MODULE__, nil)
    Pace.successor()
  end

  @impl GenServer
  def handle_continue(:request, pace), do: request(pace)

  @impl GenServer
  def handle_info(:wake, pace), do: request(pace)
  def handle_info(:sweep, pace), do: sweep(pace)
  def handle_info(_other, pace), do: {:noreply, pace}

  defp request(pace) do
    case Pace.request(pace, demand_interval()) do
      {:now, pace} -> sweep(pace)
      {:later, pace} -> {:noreply, pace}
    end
  end

  defp sweep(pace) do
    amount = demand_amount()
    began = Telemetry.began()
    delivered = amount - deliver(amount)
    Telemetry.delivery(began, delivered)
    pace = Pace.swept(pace, delivered)

    cond do
      not Native.dispatcher_rest() -> request(pace)
      delivered >= Local.hibernation_threshold() -> {:noreply, pace, :hibernate}
      true -> {:noreply, pace}
    end
  end

  # A slice at a time, so that no single call holds the scheduler.
  defp deliver(left) do
    case Native.dispatcher_deliver(node(), left) do
      :bulky -> node() |> Native.dispatcher_deliver_bulky(left) |> deliver_more(left)
      delivered -> deliver_more(delivered, left)
    end
  end

  defp deliver_more({sent, true}, left), do: deliver(left - sent)
  defp deliver_more({sent, false}, left), do: left - sent
end
