defmodule Bench.Suite do
  @moduledoc false
  # Runs scenarios, and writes the results to where the options say.

  alias Bench.{Options, Report, Resources, Scenarios}

  @scenarios [
    {"monitor", Scenarios.Monitor},
    {"demonitor", Scenarios.Demonitor},
    {"set", Scenarios.Set},
    {"memory", Scenarios.Memory},
    {"growth", Scenarios.Growth},
    {"node_death", Scenarios.NodeDeath},
    {"blip", Scenarios.Blip},
    {"mass_exit", Scenarios.MassExit},
    {"watched", Scenarios.Watched},
    {"cores", Scenarios.Cores},
    {"wire", Scenarios.Wire},
    {"schedulers", Scenarios.Schedulers},
    {"fan_out", Scenarios.FanOut},
    {"truncation", Scenarios.Truncation},
    {"tables", Scenarios.Tables},
    {"dispatch", Scenarios.Dispatch},
    {"latency", Scenarios.Latency},
    {"fairness", Scenarios.Fairness},
    {"storm", Scenarios.Storm},
    {"idle", Scenarios.Idle}
  ]

  # Takes more time and memory than all others together, so it only runs when it is asked for.
  @large [{"fleet", Scenarios.Fleet}]

  @doc "Runs what the command line asks for."
  @spec run([String.t()], %{String.t() => String.t()}) :: :ok
  def run(argv, env) do
    options = Options.parse!(argv, env, names(@scenarios), names(@large))
    run = run_description(options)

    for {name, module} <- @scenarios ++ @large,
        name in options.scenarios,
        do: run(name, module, options, run)

    :ok
  end

  defp names(scenarios), do: for({name, _} <- scenarios, do: name)

  defp run(name, module, options, run) do
    {time, report} = :timer.tc(fn -> module.run(options) end)
    IO.puts(["\n", name, ": ", report.title, "\n\n", Report.table(report)])
    IO.puts("(#{div(time, 1_000_000)} s)")
    if options.json, do: Report.write(report, name, options.json, run)
    if options.readme, do: Bench.Readme.replace(options.readme, name, report, run)
  end

  defp run_description(options) do
    Map.merge(Resources.machine(), %{
      date: Date.to_iso8601(Date.utc_today()),
      size: options.size,
      rounds: options.rounds
    })
  end
end
