defmodule ZenMonitor.Stage do
  @moduledoc false
  # A server that sweeps a queue at its pace. Its state has the key `:pace`, and its function `sweep/2` takes how
  # much it may send, and the state. As with ZenMonitor.Server, a last clause of `handle_info/2` calls `super`.

  defmacro __using__(opts) do
    quote do
      use ZenMonitor.Server, unquote(opts)

      @impl GenServer
      # This timer is late. A stage at rest must not sweep, since another process may be sending in its place.
      def handle_info(:sweep, %{pace: %{resting?: true}} = state), do: {:noreply, state}
      # The queue has something, or the time has come to look.
      def handle_info(message, state) when message in [:wake, :sweep], do: request(state)
      # A timer of Pace.idle/2 that was cancelled too late.
      def handle_info({:timeout, _timer, :idle}, state), do: {:noreply, state}
      def handle_info(message, state), do: super(message, state)

      defoverridable handle_info: 2

      defp request(state), do: ZenMonitor.Pace.run(state, &sweep/2)
    end
  end
end
