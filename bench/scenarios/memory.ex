defmodule Bench.Scenarios.Memory do
  @moduledoc false
  # What a monitor takes: as resident memory of the whole VM, together with the reference that the
  # caller keeps; and in the native tables alone, which are filled up to sizes for which there are
  # no processes to be had on one machine.

  @behaviour Bench.Scenario

  alias Bench.{
    Caller,
    EtsTables,
    NativeTables,
    Options,
    Pair,
    Peer,
    Report,
    Resources,
    Rounds,
    Targets
  }

  @native [1_000_000, 5_000_000, 20_000_000]
  @share 100_000

  @impl true
  def run(options) do
    size = Options.scale(options, 500_000)
    prepare = fn pair -> Pair.remote(pair, Targets, :add, [size]) && size end
    # One chunk of everything would leave its garbage behind, and is not how anybody runs it.
    settings = [rounds: Options.rounds(options, 5), fresh: true, settings: :quick]
    result = Rounds.compare(options, settings, prepare, &round/2)

    rows =
      Report.rows(result, [
        {"resident, with the reference", "bytes", :resident, {:ratio, 0.5}},
        {"resident, with the reference", "bytes", :resident, {:at_most, 160}}
      ])

    %Report{title: "memory of each of #{size} monitors", rows: rows ++ native(options)}
  end

  # A fresh VM has nothing to give back, and nothing to reuse.
  defp round(pair, size) do
    callers = Pair.local(pair, Caller, :start, [pair.contender, pair.remote.node, 1, 0, size])
    empty = resident(pair, callers)
    Pair.local(pair, Caller, :monitor, [callers])
    full = resident(pair, callers)
    Pair.local(pair, Caller, :demonitor, [callers])
    Pair.local(pair, Caller, :stop, [callers])
    %{resident: (full - empty) / size}
  end

  defp resident(pair, callers) do
    Pair.settle(pair)
    Pair.local(pair, Caller, :collect, [callers])
    Pair.settle(pair)
    Resources.resident_at_rest(pair.local.os_pid)
  end

  defp native(options) do
    peer = Peer.start("bench_tables", Peer.own_code())
    :ok = Peer.call(peer, NativeTables, :start, [])
    empty = usage(peer)
    sizes = for size <- @native, do: Options.scale(options, size)
    ets = Peer.call(peer, __MODULE__, :ets, [hd(sizes)]) / hd(sizes)
    {rows, _} = Enum.flat_map_reduce(sizes, 0, &{fill(peer, empty, ets, &2, &1), &1})
    Peer.stop(peer)
    rows
  end

  defp fill(peer, {allocated, resident}, ets, from, to) do
    for first <- from..(to - 1)//@share do
      Peer.call(peer, NativeTables, :subscriber, [first, min(@share, to - first)])
    end

    ^to = Peer.call(peer, NativeTables, :standing, [])
    {allocated_now, resident_now} = usage(peer)

    row = fn kind, bytes ->
      Report.row("#{kind}, tables of #{to}", "bytes", bytes / to, [{"ETS", ets}], nil)
    end

    [row.("allocated", allocated_now - allocated), row.("resident", resident_now - resident)]
  end

  defp usage(peer) do
    {Peer.call(peer, :erlang, :memory, [:system]), Resources.resident_at_rest(peer.os_pid)}
  end

  @doc "The bytes of ETS tables for so many monitors. Runs in a VM of its own."
  @spec ets(pos_integer) :: pos_integer
  def ets(size) do
    tables = EtsTables.start()
    before = :erlang.memory(:ets)
    for i <- 0..(size - 1), do: EtsTables.monitor(tables, NativeTables.pid(i), self())
    bytes = :erlang.memory(:ets) - before
    EtsTables.stop(tables)
    bytes
  end
end
