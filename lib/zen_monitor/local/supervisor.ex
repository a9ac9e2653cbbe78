defmodule ZenMonitor.Local.Supervisor do
  @moduledoc false
  # The monitoring side. Everything that matters is in the native tables, so any of these processes
  # may be killed and started again at any time; the limit on restarts only stops a loop of crashes.

  use Supervisor

  alias ZenMonitor.Local
  alias ZenMonitor.Local.{Connector, Dispatcher, Tables}

  def start_link(_opts), do: Supervisor.start_link(__MODULE__, [], name: __MODULE__)

  @impl Supervisor
  def init(_opts) do
    children = [
      {Registry, keys: :unique, name: Connector.Registry},
      {DynamicSupervisor, name: Connector.Supervisor, max_restarts: 1_000},
      # Starts the Connectors again when the two before it were restarted.
      Local,
      Dispatcher,
      Tables
    ]

    Supervisor.init(children, strategy: :rest_for_one, max_restarts: 1_000)
  end
end
