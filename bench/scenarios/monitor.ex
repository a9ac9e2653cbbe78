defmodule Bench.Scenarios.Monitor do
  @moduledoc false
  # What it costs to monitor each of many remote processes, by one caller and by eight at once.

  @behaviour Bench.Scenario

  alias Bench.Standing

  @impl true
  def run(options) do
    title = "remote processes are monitored"
    targets = [cpu: {:ratio, 0.22}, call: {:ratio, 0.15}]

    Standing.report(options, title, targets, &round/2, [
      {"a list of references alone, 1 caller", "µs", :list_1, nil},
      {"a list of references alone, 8 callers", "µs", :list_8, nil}
    ])
  end

  defp round(pair, size) do
    monitors =
      Standing.each(pair, size, fn callers ->
        cost = Standing.place(pair, callers)
        Standing.remove(pair, callers)
        cost
      end)

    list = Standing.each(pair, size, &Standing.list(pair, &1))
    Map.merge(monitors, %{list_1: list.call_1, list_8: list.call_8})
  end
end
