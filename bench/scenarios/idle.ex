defmodule Bench.Scenarios.Idle do
  @moduledoc false
  # What Connectors use when they have nothing to do. Their nodes do not exist, since 200 nodes do not fit on one
  # machine. A Connector that has found its node missing has as little to do as one whose node is there.

  @behaviour Bench.Scenario

  alias Bench.{Contender, Options, Peer, Report, Resources}

  @impl true
  def run(options) do
    connectors = Options.scale(options, 200)
    seconds = options.time * 10

    result =
      for contender <- Options.contenders(options),
          contender != :process,
          do: {contender, used(contender, connectors, seconds, options)}

    [{:zen_monitor, {without, with}} | others] = result
    baselines = for {contender, {_without, with}} <- others, do: {Contender.name(contender), with}

    %Report{
      title: "#{connectors} Connectors have nothing to do for #{seconds} s",
      rows: [
        Report.row(
          "CPU",
          "ms per s",
          with,
          [{"no Connectors", without} | baselines],
          {:at_most, 1}
        )
      ]
    }
  end

  defp used(contender, connectors, seconds, options) do
    peer = Peer.start("bench_idle", Contender.code(contender, options))
    :ok = Peer.call(peer, Contender, :start, [contender, :default])
    without = cpu(peer, seconds)
    :ok = Peer.call(peer, __MODULE__, :start_connectors, [connectors])
    with = cpu(peer, seconds)
    Peer.stop(peer)
    {without, with}
  end

  defp cpu(peer, seconds) do
    Process.sleep(1_000)
    before = Resources.cpu(peer.os_pid)
    Process.sleep(round(seconds * 1_000))
    (Resources.cpu(peer.os_pid) - before) / seconds / 1_000
  end

  @doc "Has so many Connectors started. Runs in the VM that is measured."
  @spec start_connectors(pos_integer) :: :ok
  def start_connectors(amount) do
    refs = for i <- 1..amount, do: ZenMonitor.monitor({:nobody, :"bench#{i}@nowhere.invalid"})

    for ref <- refs,
        do: receive(do: ({:DOWN, ^ref, :process, _, {:zen_monitor, :nodedown}} -> :ok))

    :ok
  end
end
