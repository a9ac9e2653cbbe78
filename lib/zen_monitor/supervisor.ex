defmodule ZenMonitor.Supervisor do
  @moduledoc """
  The root of ZenMonitor's supervision tree.

  The application starts it. Tests that do not start the application can start it with
  `start_supervised(ZenMonitor.Supervisor)`.

  It owns the native tables. It makes fresh ones when it starts, and discards them when it is stopped in
  order. A crash of any process below it leaves them untouched.
  """
  use Supervisor

  alias ZenMonitor.{Config, Local, Native, Proxy, Restarts, StandIn, Tables}

  @doc """
  Starts the tree.

  Fails with an `ArgumentError` when the application environment of `:zen_monitor` has a value that cannot
  work. The error names the key, the value and what is accepted.
  """
  @spec start_link(term) :: Supervisor.on_start()
  def start_link(_opts), do: Supervisor.start_link(__MODULE__, [], name: __MODULE__)

  @impl Supervisor
  def init(_opts) do
    Config.validate!()
    Native.start()
    StandIn.note()
    Native.free()
    load_all()

    children = [
      Tables,
      # Before Local, which pings it.
      Proxy.Supervisor,
      Local.Supervisor
    ]

    Supervisor.init(children, [strategy: :one_for_one] ++ Restarts.limit())
  end

  # Outside a release, the VM loads a module when it is first called. For some of these that is in the midst of a mass
  # exit, where the VM has so much else to do that loading takes a quarter of a second.
  defp load_all do
    modules = Application.spec(:zen_monitor, :modules) || []
    # Not the Mix tasks, which are no part of the tree.
    ours =
      for module <- modules, match?("Elixir.ZenMonitor" <> _, Atom.to_string(module)), do: module

    :code.ensure_modules_loaded(ours)
  end
end
