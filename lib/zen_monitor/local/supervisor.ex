defmodule ZenMonitor.Local.Supervisor do
  @moduledoc false
  # The monitoring side. The state is in the native tables, so any of these processes may be killed and
  # started again at any time. The limit on restarts only stops a loop of crashes.

  use Supervisor

  alias ZenMonitor.{Local, Restarts}
  alias ZenMonitor.Local.{Connectors, Dispatcher, Tables}

  def start_link(_opts), do: Supervisor.start_link(__MODULE__, [], name: __MODULE__)

  @impl Supervisor
  def init(_opts) do
    Restarts.await_former([Connectors.supervisor(), Connectors, Local, Dispatcher, Tables])

    children = [
      {DynamicSupervisor, [name: Connectors.supervisor()] ++ Restarts.limit()},
      Connectors,
      Local,
      Dispatcher,
      Tables
    ]

    Supervisor.init(children, [strategy: :one_for_one] ++ Restarts.limit())
  end
end
