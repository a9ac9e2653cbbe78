defmodule ZenMonitor.Server do
  @moduledoc false
  # A `GenServer` that ignores every message, cast and call that it does not know. All registered
  # processes are such servers, since anybody can send to a name. A module with callbacks of its own
  # needs a last clause that calls `super`.

  defmacro __using__(opts) do
    quote do
      # This hides `child_spec/1`: only supervisors of this package start such a server.
      @doc false
      use GenServer, unquote(opts)

      @impl GenServer
      def handle_call(message, _from, state),
        do: unquote(__MODULE__).ignore(message, __MODULE__, state)

      @impl GenServer
      def handle_cast(message, state), do: unquote(__MODULE__).ignore(message, __MODULE__, state)

      @impl GenServer
      def handle_info(message, state), do: unquote(__MODULE__).ignore(message, __MODULE__, state)

      defoverridable handle_call: 3, handle_cast: 2, handle_info: 2
    end
  end

  @doc false
  def ignore(message, module, state) do
    ZenMonitor.Malformed.ignore([message], module)
    {:noreply, state}
  end
end
