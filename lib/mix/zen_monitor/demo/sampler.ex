defmodule Mix.ZenMonitor.Demo.Sampler do
  @moduledoc false
  # Measures nodes while something happens on them: scheduler utilisation, memory, and the length of
  # one mailbox. A probe on each node reports to one collector.

  # Milliseconds.
  @interval 20

  @doc """
  Measures `nodes` while `fun` runs, and `queue` if that is a pid. `fun` is given a function to mark
  the moment that all times are relative to. Returns what `fun` does, and by node a list of
  `%{time: seconds, utilisation: 0..1, memory: bytes, queue: length}`.
  """
  def measure(nodes, queue, fun) do
    collector =
      spawn_link(fn ->
        # A node that is lost takes its probe along, and that is linked.
        Process.flag(:trap_exit, true)
        collect([], nil)
      end)

    probes =
      for node <- nodes do
        pid = if node == node(), do: queue
        Node.spawn(node, __MODULE__, :probe, [collector, pid])
      end

    # A quiet moment before it begins belongs to the picture.
    Process.sleep(20 * @interval)
    result = fun.(fn -> send(collector, {:zero, now()}) end)
    Process.sleep(10 * @interval)
    for probe <- probes, do: Process.exit(probe, :kill)
    send(collector, {:finish, self()})
    receive do: ({^collector, samples} -> {result, samples})
  end

  @doc false
  def probe(collector, queue) do
    Process.flag(:priority, :max)
    Process.link(collector)
    :erlang.system_flag(:scheduler_wall_time, true)
    probe(collector, queue, wall_times())
  end

  defp probe(collector, queue, before) do
    Process.sleep(@interval)
    wall_times = wall_times()

    send(
      collector,
      {:sample, node(),
       %{
         time: now(),
         utilisation: utilisation(before, wall_times),
         memory: :erlang.memory(:total),
         queue: queue_len(queue)
       }}
    )

    probe(collector, queue, wall_times)
  end

  defp queue_len(nil), do: nil

  defp queue_len(pid) do
    with {:message_queue_len, length} <- Process.info(pid, :message_queue_len), do: length
  end

  # Those of dirty schedulers come after the others.
  defp wall_times do
    :erlang.statistics(:scheduler_wall_time)
    |> Enum.sort()
    |> Enum.take(System.schedulers_online())
  end

  defp utilisation(before, now) do
    {active, total} =
      for {{id, active, total}, {id, active_now, total_now}} <- Enum.zip(before, now),
          reduce: {0, 0} do
        {sum, sum_total} -> {sum + active_now - active, sum_total + total_now - total}
      end

    if total == 0, do: 0.0, else: active / total
  end

  defp collect(samples, zero) do
    receive do
      {:sample, node, sample} -> collect([{node, sample} | samples], zero)
      {:zero, time} -> collect(samples, time)
      {:finish, to} -> send(to, {self(), by_node(samples, zero)})
      {:EXIT, _, _} -> collect(samples, zero)
    end
  end

  defp by_node(samples, zero) do
    samples
    |> Enum.reverse()
    |> Enum.group_by(&elem(&1, 0), fn {_, sample} ->
      %{sample | time: (sample.time - zero) / 1_000_000}
    end)
  end

  # The nodes are on one machine, so they have this clock in common.
  defp now, do: System.os_time(:microsecond)
end
