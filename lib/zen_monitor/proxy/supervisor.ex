defmodule ZenMonitor.Proxy.Supervisor do
  @moduledoc false
  # The order is that of `:rest_for_one`: a Proxy starts from nothing and takes all with it, and
  # Tables comes last because its start is what tells the Proxy that the Batchers' supervisor is back.
  # So the Proxy's own death is the only one that other nodes notice.

  use Supervisor

  alias ZenMonitor.{Proxy, Restarts}
  alias ZenMonitor.Proxy.{Batcher, Tables}

  def start_link(opts) do
    Supervisor.start_link(__MODULE__, opts, name: __MODULE__)
  end

  @impl true
  def init(_opts) do
    Restarts.await_former([Proxy, Batcher.supervisor(), Tables])

    children = [
      Proxy,
      {DynamicSupervisor,
       [strategy: :one_for_one, name: Batcher.supervisor()] ++ Restarts.limit()},
      Tables
    ]

    Supervisor.init(children, [strategy: :rest_for_one] ++ Restarts.limit())
  end
end
