defmodule ZenMonitor.Ledger.Faults do
  @moduledoc false
  # What goes wrong during a round of the ledger: two lanes of faults, one that must cost nobody
  # anything and one that may fire `:nodedown`, which is noted first and over only when the nodes
  # answer each other again.

  alias ZenMonitor.{Cluster, Ledger, Ledger.Site, PeerScript}
  alias ZenMonitor.Local.Connectors
  alias ZenMonitor.Proxy.Batcher

  # Killing any of these loses nothing and fires nothing.
  @harmless [
    ZenMonitor.Tables,
    ZenMonitor.Local,
    ZenMonitor.Local.Tables,
    ZenMonitor.Local.Dispatcher,
    ZenMonitor.Local.Connectors,
    ZenMonitor.Local.Supervisor,
    ZenMonitor.Proxy.Tables,
    {:children, Connectors.supervisor()},
    {:children, Batcher.supervisor()},
    Connectors.supervisor(),
    Batcher.supervisor()
  ]

  @doc "Kills processes whose death nobody may notice, and changes the wire, until told to stop."
  def harmless(nodes, seed) do
    lane(seed, fn ->
      case pick([:wire | @harmless]) do
        :wire -> Ledger.at(pick(nodes), PeerScript, :configure, [[wire: pick([:compact, :v2])]])
        victim -> Ledger.at(pick(nodes), PeerScript, :kill_victim, [victim])
      end

      Process.sleep(:rand.uniform(60))
    end)
  end

  @doc "Cuts links, kills Proxies, stops a node for a while, until told to stop."
  def disturbing(nodes, seed) do
    lane(seed, fn ->
      case :rand.uniform(10) do
        1 -> kill_proxy(nodes, pick(nodes))
        2 -> freeze(List.last(nodes))
        _ -> cut(nodes, pick([{0, 1}, {0, 2}, {1, 2}]), pick([0, 0, :rand.uniform(50)]))
      end

      Process.sleep(:rand.uniform(100))
    end)
  end

  defp lane(seed, fault) do
    Task.async(fn ->
      :rand.seed(:exsss, seed)
      run(fault, 0)
    end)
  end

  defp run(fault, faults) do
    receive do
      :stop -> faults
    after
      0 ->
        fault.()
        run(fault, faults + 1)
    end
  end

  @doc "Ends a lane and returns how many faults it made."
  def stop(%Task{pid: pid} = lane) do
    send(pid, :stop)
    Task.await(lane, 300_000)
  end

  # One side asks for it; on the other it is noticed when the connection breaks. With OTP's default flags
  # `global` has everybody drop both sides, so no link may count on this cut passing it by. The cut may be
  # of this VM, which has those flags in any case and goes on to run the ledger without its links.
  defp cut(nodes, {one, other}, pause) do
    [one, other] = for index <- Enum.shuffle([one, other]), do: Enum.at(nodes, index)
    default? = Cluster.flags() == :default
    links = if default?, do: links(nodes), else: [{one, other}, {other, one}]
    {graceful, others} = Enum.split_with(observed(links), fn {member, _} -> member.graceful? end)

    disturbed(others, fn ->
      Ledger.at(one, :erlang, :disconnect_node, [other.node])
      Process.sleep(pause)
      if default?, do: Ledger.mesh(nodes), else: reconnect(one, other)

      for {observer, node} <- graceful,
          do: :ok = Ledger.at(observer, Site, :await_answer, [node.node], 180_000)
    end)
  end

  defp links(nodes), do: for(one <- nodes, other <- nodes, one != other, do: {one, other})

  # The former connection may still be on its way out.
  defp reconnect(one, other) do
    Cluster.wait_until(fn -> Ledger.at(one, Node, :connect, [other.node]) == true end)
  end

  defp kill_proxy(nodes, node) do
    disturbed(for(observer <- nodes, do: {observer, node}), fn ->
      Ledger.at(node, PeerScript, pick([:kill_proxy, :kill_holder]), [])
    end)
  end

  # Shorter than the net tick, so that nobody may notice.
  defp freeze(member), do: Cluster.freeze(member.peer, :rand.uniform(200))

  # Only observers keep a record of disturbances.
  defp observed(links), do: for({member, _} = link <- links, member.index < 2, do: link)

  defp disturbed(links, fault) do
    links = observed(links)
    for {observer, node} <- links, do: Ledger.at(observer, Site, :disturb, [node.index])
    fault.()

    for {observer, node} <- links do
      :ok = Ledger.at(observer, Site, :calm, [node.index, node.node], 180_000)
    end
  end

  defp pick(list), do: Enum.random(list)
end
