defmodule ZenMonitor.Supervisor do
  @moduledoc """
  The root of ZenMonitor's supervision tree.

  The application starts it. Tests that keep the application from starting may start it by hand,
  with `start_supervised(ZenMonitor.Supervisor)`.

  It owns the native tables: starting it makes fresh ones, its orderly stop discards them, and a
  crash of anything below it leaves them untouched.
  """
  use Supervisor

  alias ZenMonitor.{Config, Local, Native, Proxy, Restarts, Tables}

  @doc """
  Starts the tree.

  Fails with an `ArgumentError` that names the key, the value and what is accepted when the
  application environment of `:zen_monitor` holds a value that cannot work.
  """
  @spec start_link(term) :: Supervisor.on_start()
  def start_link(_opts), do: Supervisor.start_link(__MODULE__, [], name: __MODULE__)

  @impl Supervisor
  def init(_opts) do
    Config.validate!()
    Native.start()
    Native.free()

    children = [
      Tables,
      # Before Local, which pings it.
      Proxy.Supervisor,
      Local.Supervisor
    ]

    Supervisor.init(children, [strategy: :one_for_one] ++ Restarts.limit())
  end
end
