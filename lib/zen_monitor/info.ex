defmodule ZenMonitor.Info do
  @moduledoc false
  # What is watched by whom. `ZenMonitor.info/0` and `ZenMonitor.info/1` document it.

  alias ZenMonitor.{Local.Address, Metrics, Native, Proxy}

  def all do
    snapshot = Metrics.snapshot()
    metrics = snapshot.metrics

    %{
      node: node(),
      version: to_string(Application.spec(:zen_monitor, :vsn)),
      monitors: metrics["zen_monitor.local.ets.references.size"],
      waiting: metrics["zen_monitor.local.batch_length"],
      held: metrics["zen_monitor.local.held"],
      watched_for_others: metrics["zen_monitor.proxy.ets.subscribers.size"],
      sets: metrics["zen_monitor.local.sets"],
      members: metrics["zen_monitor.local.sets.members"],
      nodes: snapshot.nodes,
      subscribers: snapshot.subscribers,
      largest_sets: snapshot.sets
    }
  end

  def of(destination) do
    # This is the first to look at `destination`, and raises if it is none.
    monitored_by = monitored_by(destination)
    pid = local_pid(destination)
    if pid, do: Map.merge(held(pid), monitored_by), else: monitored_by
  end

  defp local_pid(pid) when is_pid(pid), do: if(node(pid) == node(), do: pid)
  defp local_pid({name, node}) when node == node(), do: local_pid(name)
  defp local_pid({_name, _node}), do: nil
  defp local_pid(name), do: Process.whereis(name)

  defp held(pid) do
    {count, waiting, monitors, sets} = Native.held(node(), pid)

    sets =
      for {ref, members, waiting} <- sets, do: %{ref: ref, members: members, waiting: waiting}

    %{monitors: count, waiting: waiting, monitoring: monitors, sets: sets}
  end

  defp monitored_by(destination) do
    {key, target} = Address.of(destination)
    {count, pids} = Native.watchers(key, target)
    nodes = if key in [ZenMonitor.Local, node()], do: Proxy.watchers(destination), else: []
    %{monitored: count, monitored_by: pids, watched_by: nodes}
  end
end
