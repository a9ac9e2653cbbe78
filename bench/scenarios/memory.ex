defmodule Bench.Scenarios.Memory do
  @moduledoc false
  # What a monitor takes: as resident memory of the whole VM, together with the reference that the caller
  # keeps; then in the native tables alone, at sizes for which one machine cannot have the processes.

  @behaviour Bench.Scenario

  alias Bench.{EtsTables, NativeTables, Options, Peer, Report, Resident, Resources, Standing}

  @native [1_000_000, 5_000_000, 20_000_000]
  @share 100_000

  @impl true
  def run(options) do
    size = Options.scale(options, 500_000)
    result = Resident.compare(options, size, 5, &Standing.place/2, &Standing.remove/2)

    rows =
      Report.rows(result, [
        {"resident, with the reference", "bytes", :resident, {:ratio, 0.5}},
        {"resident, with the reference", "bytes", :resident, {:at_most, 160}}
      ])

    %Report{title: "memory of each of #{size} monitors", rows: rows ++ native(options)}
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
