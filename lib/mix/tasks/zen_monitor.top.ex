defmodule Mix.Tasks.ZenMonitor.Top do
  @shortdoc "Shows a running node's monitors, live"

  @moduledoc """
  Shows a running node's monitors, live: rates, queues, the busiest nodes and subscribers.

      $ mix zen_monitor.top --node app@host

  It connects to the node as a hidden node, over ordinary distribution, and calls
  `ZenMonitor.Metrics.snapshot/1` there once a second. The node needs nothing but this package. Press
  Ctrl+C twice to end it.

  ## Options

    * `--node` - the node to look at
    * `--cookie` - its cookie, if it is not the one in `~/.erlang.cookie`
    * `--interval` - milliseconds between two looks, 1,000 by default
    * `--count` - how many times to look before it ends by itself
  """

  use Mix.Task

  alias Mix.ZenMonitor.Top
  alias ZenMonitor.Metrics

  @switches [node: :string, cookie: :string, interval: :integer, count: :integer]
  @timeout 5_000

  @impl Mix.Task
  def run(args) do
    {options, rest, invalid} = OptionParser.parse(args, strict: @switches)

    unless rest == [] and invalid == [] and options[:node] && (options[:interval] || 1) > 0 do
      Mix.raise(
        "expected --node NAME, and perhaps --cookie COOKIE, --interval MILLISECONDS and " <>
          "--count NUMBER, got: #{Enum.join(args, " ")}"
      )
    end

    Mix.Task.run("app.config")
    node = String.to_atom(options[:node])
    connect!(node, options[:cookie])
    watch(node, snapshot!(node), options[:interval] || 1_000, options[:count] || :infinity)
  end

  defp connect!(node, cookie) do
    unless Node.alive?(), do: start_distribution!(node)
    if cookie, do: Node.set_cookie(node, String.to_atom(cookie))

    unless Node.connect(node) == true do
      Mix.raise(
        "could not connect to #{node}: is it running under this name, with this cookie " <>
          "(--cookie), and reachable from here?"
      )
    end
  end

  # The node is hidden, so that it does not become a member of the cluster.
  defp start_distribution!(node) do
    {_, 0} = System.cmd("epmd", ["-daemon"])
    host = node |> Atom.to_string() |> String.split("@") |> List.last()
    domain = if host =~ ".", do: :longnames, else: :shortnames
    # For a node on the same machine, the loopback address always works.
    name = if host == "127.0.0.1", do: :"#{name()}@127.0.0.1", else: name()

    case :net_kernel.start(name, %{name_domain: domain, hidden: true}) do
      {:ok, _} -> :ok
      {:error, reason} -> Mix.raise("could not start distribution: #{inspect(reason)}")
    end
  end

  defp name, do: :"zen_monitor_top_#{System.pid()}"

  defp watch(_node, _before, _interval, 0), do: :ok

  defp watch(node, before, interval, count) do
    Process.sleep(interval)
    now = snapshot!(node)
    {lines, columns} = size()
    frame = Top.frame(before, now, lines, columns)
    IO.write([if(IO.ANSI.enabled?(), do: [IO.ANSI.home(), IO.ANSI.clear()], else: []), frame])
    watch(node, now, interval, if(is_integer(count), do: count - 1, else: count))
  end

  defp snapshot!(node) do
    :erpc.call(node, Metrics, :snapshot, [50], @timeout)
  rescue
    error in [ErlangError, UndefinedFunctionError] ->
      Mix.raise("#{node} gives no answer: #{explain(error)}")
  end

  defp explain(%ErlangError{original: {:exception, :undef, _}}) do
    "it does not have ZenMonitor 3"
  end

  defp explain(%ErlangError{original: {:exception, {:not_running, _}, _}}) do
    "ZenMonitor is not started there"
  end

  defp explain(%ErlangError{original: {:erpc, reason}}), do: inspect(reason)
  defp explain(error), do: Exception.message(error)

  defp size do
    with {:ok, lines} <- :io.rows(), {:ok, columns} <- :io.columns() do
      {lines, columns}
    else
      _ -> {40, 100}
    end
  end
end
