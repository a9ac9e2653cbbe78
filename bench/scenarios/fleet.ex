defmodule Bench.Scenarios.Fleet do
  @moduledoc false
  # The native tables at the size of a fleet: many more monitors than one machine has processes for, so the
  # pids are made up. Each size has a VM of its own, which is filled, looked at, and loses the node. Of the CPU, the part
  # of the kernel is shown as well: how long it takes to give a page is a matter of the machine, and of how much of its
  # memory was ever in use.

  @behaviour Bench.Scenario

  alias Bench.{NativeTables, Options, Peer, Report, Resources, Statistics}

  @few 1_000_000
  # How often these are placed. What is over in a third of a second seldom takes as long twice.
  @rounds 5
  @sizes [10_000_000, 50_000_000, 100_000_000, 200_000_000]
  # What a process monitors.
  @share 100_000
  # Bytes that a monitor may take in the worst case, and that are left to everything else.
  @worst 95
  @reserve 4_000_000_000

  @impl true
  def run(options) do
    few = few(options)

    rows =
      for size <- sizes(few), size = Options.scale(options, size), has_room?(size) do
        many = measure(size)
        [cpu, kernel] = for figure <- [:cpu, :kernel], do: [{"#{few.size} monitors", few[figure]}]

        [
          Report.row("CPU, placing each of #{size}", "µs", many.cpu, cpu, {:ratio, 1.2}),
          Report.row("of that, in the kernel", "µs", many.kernel, kernel, nil),
          Report.row("resident, each of #{size}", "bytes", many.resident, [], {:at_most, 80}),
          Report.row("the node's death, with #{size}", "ms", many.expire, [], {:at_most, 1})
        ]
      end

    title = "the tables alone, filled to #{length(rows)} sizes of #{length(@sizes)}"
    %Report{title: title, rows: Enum.concat(rows)}
  end

  defp few(options) do
    size = Options.scale(options, @few)
    samples = for _ <- 1..Options.rounds(options, @rounds), do: measure(size)
    median = fn figure -> samples |> Enum.map(& &1[figure]) |> Statistics.median() end
    %{size: size, cpu: median.(:cpu), kernel: median.(:kernel)}
  end

  # In a small run, one size shows that it works.
  defp sizes(%{size: few}) when few < 10_000, do: Enum.take(@sizes, 1)
  defp sizes(_few), do: @sizes

  defp measure(size) do
    peer = Peer.start("bench_fleet", Peer.own_code())
    :ok = Peer.call(peer, NativeTables, :start, [])
    makes = min(size, @few)
    making = cpu(peer, fn -> each_share(peer, :make_pids, makes) end)
    empty = Resources.resident_at_rest(peer.os_pid)
    filling = cpu(peer, fn -> each_share(peer, :subscriber, size) end)
    ^size = Peer.call(peer, NativeTables, :standing, [])
    resident = Resources.resident_at_rest(peer.os_pid) - empty
    expire = Peer.call(peer, NativeTables, :expire, [])
    Peer.stop(peer)

    # In a small run the CPU may be less than what the kernel can tell.
    [cpu, kernel] =
      for {filling, making} <- Enum.zip(filling, making),
          do: max(filling / size - making / makes, 0.001)

    %{size: size, cpu: cpu, kernel: kernel, resident: resident / size, expire: expire / 1_000}
  end

  defp each_share(peer, function, size) do
    for first <- 0..(size - 1)//@share do
      Peer.call(peer, NativeTables, function, [first, min(@share, size - first)])
    end
  end

  # In all, and of the kernel.
  defp cpu(peer, work) do
    before = Resources.cpu_by_mode(peer.os_pid)
    work.()
    [user, kernel] = Enum.zip_with(Resources.cpu_by_mode(peer.os_pid), before, &-/2)
    [user + kernel, kernel]
  end

  defp has_room?(size), do: size * @worst + @reserve < Resources.available()
end
