# One node of a cluster of several versions: `mixed_cluster.exs OWN_NAME ALL_NAMES...`. Every node
# monitors processes of all others, in every way there is, and they exit; then the nodes go down, one
# after the other.

defmodule MixedCluster do
  @targets 300
  @patience 60_000

  def run(own, all) do
    {:ok, _} = Node.start(own, :longnames)
    Node.set_cookie(:zen_monitor_matrix)
    {:ok, _} = Application.ensure_all_started(:zen_monitor)
    Process.register(self(), :mixed_cluster)
    others = all -- [own]
    until("all nodes are connected", fn -> Enum.all?(others, &Node.connect/1) end)
    until("all take part", fn -> Enum.all?(others, &(ZenMonitor.connect(&1) == :compatible)) end)

    targets =
      for _ <- 1..@targets, do: spawn(fn -> receive do: ({:exit, reason} -> exit(reason)) end)

    tell(others, {:targets, own, targets})
    theirs = for node <- others, pid <- await({:targets, node}), do: pid

    monitors =
      for {pid, index} <- Enum.with_index(theirs), into: %{}, do: monitor(pid, rem(index, 3))

    names = for node <- others, into: %{}, do: {node, ZenMonitor.monitor({:mixed_cluster, node})}

    until("all others watch", fn ->
      ZenMonitor.Metrics.get("zen_monitor.proxy.ets.subscribers.size") ==
        length(others) * (@targets + 1)
    end)

    tell(others, {:watched, own, true})
    for node <- others, do: await({:watched, node})
    for pid <- targets, do: send(pid, {:exit, {:told, own}})
    collect(monitors)
    tell(others, {:collected, own, true})
    for node <- others, do: await({:collected, node})
    go_down(own, all, names)
  end

  defp monitor(pid, 0), do: {ZenMonitor.monitor(pid), pid}
  defp monitor(pid, 1), do: {ZenMonitor.monitor(pid, tag: {:tag, node(pid)}), pid}
  defp monitor(pid, 2), do: {ZenMonitor.monitor(pid, bulk: true), pid}

  defp collect(monitors) when monitors == %{}, do: :ok

  defp collect(monitors) do
    receive do
      {:DOWN, :bulk, entries} ->
        entries |> Enum.reduce(monitors, fn entry, left -> check(entry, left) end) |> collect()

      {tag, ref, :process, pid, reason} when tag == :DOWN or tag == {:tag, node(pid)} ->
        {ref, pid, reason} |> check(monitors) |> collect()
    after
      @patience -> raise "#{map_size(monitors)} :DOWN messages are missing on #{node()}"
    end
  end

  defp check({ref, pid, {:zen_monitor, {:told, node}}}, monitors) when node == node(pid) do
    {^pid, left} = Map.pop!(monitors, ref)
    left
  end

  # At once: an orderly stop would end this process before its node.
  defp go_down(own, [own | _], _names) do
    versions = "Elixir #{System.version()} on OTP #{System.otp_release()}"
    IO.puts("#{own} with #{versions}: all as it should be")
    System.halt(0)
  end

  defp go_down(own, [next | rest], names) do
    ref = Map.fetch!(names, next)

    receive do
      {:DOWN, ^ref, :process, {:mixed_cluster, ^next}, {:zen_monitor, :nodedown}} -> :ok
    after
      @patience -> raise "#{own} did not hear that #{next} went down"
    end

    go_down(own, rest, names)
  end

  defp tell(nodes, message), do: for(node <- nodes, do: send({:mixed_cluster, node}, message))

  defp await({what, node}) do
    receive do
      {^what, ^node, value} -> value
    after
      @patience -> raise "#{node()} waits for #{what} of #{node}"
    end
  end

  defp until(what, condition, attempts \\ 600) do
    cond do
      condition.() -> :ok
      attempts == 0 -> raise "#{node()}: it did not come to be that #{what}"
      true -> Process.sleep(100) && until(what, condition, attempts - 1)
    end
  end
end

[own | all] = Enum.map(System.argv(), &String.to_atom/1)
MixedCluster.run(own, all)
