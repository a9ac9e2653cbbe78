defmodule Bench.Scenarios.Latency do
  @moduledoc false
  # How soon a single message comes, with default settings, when nothing else is going on.

  @behaviour Bench.Scenario

  alias Bench.{Caller, Contender, Options, Pair, Report, Rounds, Standing, Statistics, Targets}

  @impl true
  def run(options) do
    samples = max(3, Options.scale(options, 50))
    size = Options.scale(options, 100_000)
    settings = [rounds: 1, settings: :default]
    result = Rounds.compare(options, settings, &prepare(&1, size), &round(&1, &2, samples, size))

    %Report{
      title: "single messages, default settings, #{samples} times each",
      rows:
        Report.rows(result, [
          {"exit to :DOWN, median", "ms", :exit_median, {:at_most, 3}},
          {"exit to :DOWN, 95 %", "ms", :exit_p95, {:at_most, 10}},
          {"monitor of a dead process to :DOWN, median", "ms", :noproc_median, {:at_most, 3}},
          {"monitor of a dead process to :DOWN, 95 %", "ms", :noproc_p95, {:at_most, 10}},
          {"nodedown of #{size} to the first :DOWN, median of 5", "ms", :nodedown, {:at_most, 5}}
        ])
    }
  end

  defp prepare(pair, size), do: Pair.remote(pair, Targets, :add, [size])

  defp round(pair, _prepared, samples, size) do
    {exits, noprocs} =
      Pair.local(pair, __MODULE__, :singles, [pair.contender, pair.remote.node, samples])

    Pair.local(pair, Contender, :place_at_once, [pair.contender])
    nodedowns = for _ <- 1..5, do: nodedown(pair, size)

    %{
      exit_median: Statistics.median(exits),
      exit_p95: Statistics.percentile(exits, 95),
      noproc_median: Statistics.median(noprocs),
      noproc_p95: Statistics.percentile(noprocs, 95),
      nodedown: Statistics.median(nodedowns)
    }
  end

  defp nodedown(pair, size) do
    callers = Standing.start(pair, size)
    time = Pair.local(pair, __MODULE__, :first_down, [callers])
    # What is still to come ends with the caller.
    Pair.local(pair, Caller, :stop, [callers])
    Pair.settle(pair)
    Pair.connect(pair)
    time
  end

  @doc "How long an exit and a `:noproc` took each time, in ms. Runs in the VM of the local node."
  @spec singles(Contender.t(), node, pos_integer) :: {[float], [float]}
  def singles(contender, remote, samples) do
    times =
      for _ <- 1..samples do
        pid = :erpc.call(remote, Targets, :single, [])
        Contender.monitor(contender, [pid])
        exit = time_to_down(fn -> send(pid, {:exit, :normal}) end)
        dead = :erpc.call(remote, Targets, :dead, [])
        noproc = time_to_down(fn -> Contender.monitor(contender, [dead]) end)
        {exit, noproc}
      end

    Enum.unzip(times)
  end

  defp time_to_down(cause) do
    # Long enough for every interval to be over.
    Process.sleep(250)
    began = now()
    cause.()
    Caller.await(1)
    (now() - began) / 1_000
  end

  @doc "The ms from a `:nodedown` to the first `:DOWN`. Runs in the VM of the local node."
  @spec first_down([Caller.t()]) :: float
  def first_down(callers) do
    [time] =
      Caller.run(callers, fn state ->
        # This process receives its messages in their order, so another process notes when the nodedown comes.
        owner = self()
        watcher = spawn(fn -> note_nodedown(owner) end)
        receive do: ({:watching, ^watcher} -> Caller.cut(state.remote))
        down = receive do: ({:DOWN, _, _, _, _} -> now())
        nodedown = receive do: ({:nodedown_at, at} -> at)
        {max(0, down - nodedown) / 1_000, state}
      end)

    time
  end

  defp note_nodedown(owner) do
    :ok = :net_kernel.monitor_nodes(true)
    send(owner, {:watching, self()})
    receive do: ({:nodedown, _node} -> send(owner, {:nodedown_at, now()}))
  end

  defp now, do: System.monotonic_time(:microsecond)
end
