defmodule Bench.Scenarios.MassExit do
  @moduledoc false
  # All monitored processes are killed one after the other, as fast as the remote node can. No budget
  # holds the messages back.

  @behaviour Bench.Scenario

  alias Bench.{Caller, Exits, Options, Pair, Standing, Targets}

  @impl true
  def run(options) do
    size = Options.scale(options, 200_000)
    targets = [local: {:ratio, 0.55}, wall: {:ratio, 1.0}]
    Exits.report(options, size, "#{size} monitored processes are killed", targets, &round/2)
  end

  defp round(pair, size) do
    Pair.remote(pair, Targets, :add, [size])
    callers = Standing.start(pair, size)
    cost = Pair.measure(pair, fn -> Pair.local(pair, Caller, :mass_exit, [callers]) end)
    Pair.local(pair, Caller, :stop, [callers])
    cost
  end
end
