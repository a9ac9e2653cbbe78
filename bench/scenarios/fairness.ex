defmodule Bench.Scenarios.Fairness do
  @moduledoc false
  # Whether a subscriber with few messages has to wait for one with many, with the default budget: first with all
  # settings at their defaults, when the news also queues on its way; then with all news sent to the local node at
  # once, so that it waits there.

  @behaviour Bench.Scenario

  alias Bench.{Caller, Contender, Options, Pair, Report, Rounds, Standing, Subscriber, Targets}

  @each 100

  @impl true
  def run(options) do
    sizes = %{pending: Options.scale(options, 20_000), subscribers: Options.scale(options, 1_000)}

    result =
      Rounds.compare(options, [settings: :default], &prepare(&1, sizes), &round(&1, &2, sizes))

    %Report{
      title: "the budget is shared, default settings",
      rows:
        Report.rows(result, [
          {"exit to :DOWN beside #{sizes.pending} under way", "ms", :under_way, nil},
          {"exit to :DOWN beside #{sizes.pending} that wait", "ms", :single, {:at_most, 150}},
          {"first of #{sizes.subscribers} to get its #{@each}th to the last", "ms", :spread,
           {:at_most, 200}},
          {"until the last", "ms", :last, nil}
        ])
    }
  end

  defp prepare(pair, _sizes), do: Pair.local(pair, Contender, :place_at_once, [pair.contender])

  defp round(pair, _prepared, sizes) do
    Pair.remote(pair, Contender, :report, [pair.contender, 5_000, 100])
    under_way = single(pair, sizes.pending)
    Pair.remote(pair, Contender, :report, [pair.contender, 1_000_000, 1])
    single = single(pair, sizes.pending)
    {first, last} = shared(pair, sizes.subscribers)
    %{under_way: under_way, single: single, spread: (last - first) / 1_000, last: last / 1_000}
  end

  defp shared(pair, subscribers) do
    Pair.remote(pair, Targets, :add, [subscribers * @each])
    args = [pair.contender, pair.remote.node, subscribers, @each]
    group = Pair.local(pair, Subscriber, :start, args)
    Pair.settle(pair)
    times = Pair.local(pair, Subscriber, :mass_exit, [group, pair.remote.node])
    Pair.local(pair, Subscriber, :stop, [group])
    times
  end

  defp single(pair, pending) do
    Pair.remote(pair, Targets, :add, [pending])
    callers = Standing.start(pair, pending)
    time = Pair.local(pair, __MODULE__, :beside, [pair.contender, pair.remote.node, callers])
    Pair.local(pair, Caller, :stop, [callers])
    time
  end

  @doc """
  The ms from the exit of a process that the caller monitors to its `:DOWN`, while the targets of
  another have just exited. Runs in the VM of the local node.
  """
  @spec beside(Contender.t(), node, [Caller.t()]) :: float
  def beside(contender, remote, callers) do
    pid = :erpc.call(remote, Targets, :single, [])
    [ref] = Contender.monitor(contender, [pid])
    # The subscription is there, and the interval over.
    Process.sleep(250)
    owner = self()

    # The first of the many tells that the news is there.
    other =
      spawn_link(fn ->
        [:ok] = Caller.run(callers, &first(&1, owner))
        send(owner, :done)
      end)

    receive do: (:began -> :ok)
    began = System.monotonic_time(:microsecond)
    send(pid, {:exit, :normal})
    ended = receive do: ({:DOWN, ^ref, _, _, _} -> System.monotonic_time(:microsecond))
    receive do: (:done -> Process.unlink(other))
    (ended - began) / 1_000
  end

  defp first(state, owner) do
    Caller.kill(state.remote)
    receive do: ({:DOWN, _, _, _, _} -> send(owner, :began))
    Caller.await(length(state.refs) - 1)
    {Caller.refute_more(), %{state | refs: []}}
  end
end
