defmodule Mix.Tasks.ZenMonitor.Demo do
  @shortdoc "Shows ZenMonitor at work between two nodes"

  @moduledoc """
  Shows ZenMonitor at work between two nodes, and writes a report of how it compares.

      $ mix zen_monitor.demo

  Starts other nodes on this machine, monitors processes between them and lets them die, one by one,
  all at once, and with their node. What happens is told in the terminal. Then the same is done with
  `Process.monitor/1` and with ZenMonitor, measured, and written to a page that needs no network.

  It works in this package and in every project that depends on it, whose own application is not
  started. It takes about a minute.

  ## Options

    * `--output` - the file of the report, `zen_monitor.html` by default
    * `--processes` - how many processes are monitored, 100,000 by default; the comparison, which has
      to survive what `Process.monitor/1` does, makes do with a third of them
  """

  use Mix.Task

  alias Mix.ZenMonitor.Demo
  alias Mix.ZenMonitor.Demo.{Comparison, Report}

  @switches [output: :string, processes: :integer]

  @impl Mix.Task
  def run(args) do
    {options, rest, invalid} = OptionParser.parse(args, strict: @switches)
    processes = Keyword.get(options, :processes, 100_000)

    unless rest == [] and invalid == [] and processes >= 100 do
      Mix.raise(
        "expected no arguments but --output FILE and --processes NUMBER, with a number of at " <>
          "least 100, got: #{Enum.join(args, " ")}"
      )
    end

    output = Keyword.get(options, :output, "zen_monitor.html")
    Mix.Task.run("app.config")
    {:ok, _} = Application.ensure_all_started(:zen_monitor)

    Demo.start_distribution()
    Demo.run(processes)

    IO.puts("\nThe same with Process.monitor/1 and with ZenMonitor, for the report:")
    comparison = Comparison.run(div(processes, 3), &IO.puts("  #{&1}"))
    File.write!(output, Report.html(comparison))
    IO.puts("\nThe report is in #{Path.relative_to_cwd(Path.expand(output))}.")
  end
end
