defmodule ZenMonitor.TelemetryStandIn do
  @moduledoc false
  # Modules with the names of packages that are not there. `:telemetry` sends what it is given to the
  # process that installed it.

  import ExUnit.Callbacks, only: [on_exit: 1]

  @receiver :zen_telemetry

  def install do
    Process.register(self(), @receiver)

    install(
      :telemetry,
      quote do
        def execute(event, measurements, metadata) do
          with pid when is_pid(pid) <- Process.whereis(unquote(@receiver)),
               do: send(pid, {:telemetry, event, measurements, metadata})

          :ok
        end
      end
    )
  end

  def install(module, body) do
    Module.create(module, body, Macro.Env.location(__ENV__))

    on_exit(fn ->
      :code.purge(module)
      :code.delete(module)
      :code.purge(module)
    end)
  end
end
