defmodule ZenMonitor.Tables do
  @moduledoc false
  # Discards the native tables when the tree is stopped in order. As the first child it stops last.
  # Killing it does nothing to the tables: `terminate/2` does not run then.

  use ZenMonitor.Server

  alias ZenMonitor.Native

  def start_link(_opts), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @impl GenServer
  def init(_opts) do
    Process.flag(:trap_exit, true)
    {:ok, nil}
  end

  @impl GenServer
  def terminate(reason, _state) when reason == :shutdown or elem(reason, 0) == :shutdown do
    Native.stop()
    Native.free()
  end

  def terminate(_reason, _state), do: :ok
end
