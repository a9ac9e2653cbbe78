defmodule Bench.Scenarios.Demonitor do
  @moduledoc false
  # What it costs to remove the monitor of each of many remote processes, with `:flush`.

  @behaviour Bench.Scenario

  alias Bench.Standing

  @impl true
  def run(options) do
    title = "monitors of remote processes are removed"
    Standing.report(options, title, [cpu: {:ratio, 0.27}], &round/2)
  end

  defp round(pair, size) do
    Standing.each(pair, size, fn callers ->
      Standing.place(pair, callers)
      Standing.remove(pair, callers)
    end)
  end
end
