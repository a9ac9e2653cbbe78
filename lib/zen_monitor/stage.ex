defmodule ZenMonitor.Stage do
  @moduledoc false
  # A server that sweeps a queue at its pace. Its state has the key `:pace`, and its function
  # `sweep/2` takes how much it may send and the state. A clause of `handle_info/2` for the rest calls
  # `super`, as with ZenMonitor.Server.

  defmacro __using__(opts) do
    quote do
      use ZenMonitor.Server, unquote(opts)

      @impl GenServer
      # It came too late, and who sends in the place of a stage that is at rest must be alone. What comes in wakes it.
      def handle_info(:sweep, %{pace: %{resting?: true}} = state), do: {:noreply, state}
      # The queue has something, or it is time.
      def handle_info(message, state) when message in [:wake, :sweep], do: request(state)
      # A timer of Pace.idle/2 that was cancelled too late.
      def handle_info({:timeout, _timer, :idle}, state), do: {:noreply, state}
      def handle_info(message, state), do: super(message, state)

      defoverridable handle_info: 2

      defp request(state), do: ZenMonitor.Pace.run(state, &sweep/2)
    end
  end
end
