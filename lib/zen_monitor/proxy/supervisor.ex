defmodule ZenMonitor.Proxy.Supervisor do
  @moduledoc false
  # The order is that of `:rest_for_one`: a Proxy starts from nothing and takes all with it, and
  # Tables comes last because its start is what tells the Proxy that the Batchers' supervisor is back.
  # So the Proxy's own death is the only one that other nodes notice.

  use Supervisor

  alias ZenMonitor.Proxy
  alias ZenMonitor.Proxy.{Batcher, Tables}

  # The state is outside the processes, so a restart is cheap and costs nobody anything. Giving up
  # would cost every monitor of this node.
  @max_restarts 1_000
  @max_seconds 5

  def start_link(opts) do
    Supervisor.start_link(__MODULE__, opts, name: __MODULE__)
  end

  @impl true
  def init(_opts) do
    restarts = [max_restarts: @max_restarts, max_seconds: @max_seconds]

    children = [
      Proxy,
      {DynamicSupervisor, [strategy: :one_for_one, name: Batcher.supervisor()] ++ restarts},
      Tables
    ]

    Supervisor.init(children, [strategy: :rest_for_one] ++ restarts)
  end
end
