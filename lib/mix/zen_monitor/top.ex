defmodule Mix.ZenMonitor.Top do
  @moduledoc false
  # Draws the screen of `mix zen_monitor.top` from two snapshots.

  import Mix.ZenMonitor.Demo, only: [number: 1]

  @doc "A screen of so many lines and columns."
  def frame(before, now, lines, columns) do
    rate = fn name -> rate(before, now, "zen_monitor." <> name) end
    value = fn name -> now.metrics["zen_monitor." <> name] end

    head = [
      "ZenMonitor on #{now.node}",
      "",
      row([
        {"monitors", number(value.("local.ets.references.size"))},
        {"placed", per_second(rate.("local.monitor"))},
        {"removed", per_second(rate.("local.demonitor"))}
      ]),
      row([
        {":DOWN waiting", number(value.("local.batch_length"))},
        {"due", per_second(rate.("local.enqueue"))},
        {"delivered", per_second(rate.("local.dispatcher.events.delivered"))}
      ]),
      row([
        {"instructions", per_second(rate.("local.connector.enqueue"))},
        {"sent", per_second(rate.("local.connector.sweep"))},
        {"held", number(value.("local.held"))}
      ]),
      row([
        {"watched here", number(value.("proxy.ets.subscribers.size"))},
        {"certificates", per_second(rate.("proxy.batcher.enqueue"))},
        {"sent", per_second(rate.("proxy.batcher.sweep"))}
      ]),
      row([
        {"sets", number(value.("local.sets"))},
        {"members", number(value.("local.sets.members"))},
        {"the largest", number(value.("local.sets.largest"))}
      ]),
      row([
        {"native memory", megabytes(value.("native_memory"))},
        {"Local mailbox", number(value.("local.message_queue_len"))},
        {"Proxy mailbox", number(value.("proxy.message_queue_len"))}
      ]),
      ""
    ]

    # The lines that are left for two tables with heads, and an empty line between and after them.
    room = max(lines - length(head) - 4, 2)
    {nodes, subscribers} = {now.nodes, now.subscribers}
    for_nodes = room |> div(2) |> max(room - length(subscribers)) |> min(length(nodes))

    cells = &cells(&1, columns)

    body = [
      cells.(["NODE", "COMPATIBILITY", "TARGETS", "MONITORS", "TO SEND"]),
      for(node <- Enum.take(nodes, for_nodes), do: cells.(node_row(node))),
      "",
      cells.(["SUBSCRIBER" <> unseen(now), "", "", "MONITORS", "WAITING"]),
      for(s <- Enum.take(subscribers, room - for_nodes), do: cells.(subscriber_row(s)))
    ]

    for line <- List.flatten([head, body]) do
      [line |> String.slice(0, columns) |> String.trim_trailing(), "\n"]
    end
  end

  defp node_row(node) do
    [
      Atom.to_string(node.node),
      if(node.held > 0, do: "held", else: compatibility(node.compatibility)),
      number(node.targets),
      number(node.monitors + node.held),
      number(node.instructions)
    ]
  end

  defp subscriber_row(subscriber) do
    # The pid as its own node prints it.
    pid = String.replace(inspect(subscriber.pid), ~r/<\d+\./, "<0.")

    [
      if(subscriber.name, do: "#{pid} #{inspect(subscriber.name)}", else: pid),
      "",
      "",
      number(subscriber.monitors),
      number(subscriber.waiting)
    ]
  end

  defp compatibility({:expired, attempt}), do: "asked #{attempt} times"
  defp compatibility(:miss), do: "not asked yet"
  defp compatibility(known), do: Atom.to_string(known)

  defp unseen(%{complete?: true}), do: ""
  defp unseen(_), do: " (of those looked at)"

  defp row(cells) do
    Enum.map_join(cells, "   ", fn {label, value} ->
      String.pad_trailing(label, 13) <> " " <> String.pad_leading(value, 10)
    end)
  end

  # The names get the width that the numbers leave.
  defp cells([name, second | numbers], columns) do
    width = (columns - 48) |> max(20) |> min(60)

    (name |> String.slice(0, width) |> String.pad_trailing(width)) <>
      " " <>
      String.pad_trailing(second, 14) <> Enum.map_join(numbers, &String.pad_leading(&1, 11))
  end

  # When a counter has become smaller, the tree was restarted.
  defp rate(before, now, name) do
    seconds = max(now.time - before.time, 1) / 1_000
    max((now.metrics[name] - before.metrics[name]) / seconds, 0)
  end

  defp per_second(rate), do: "#{number(round(rate))}/s"

  defp megabytes(bytes), do: "#{number(round(bytes / 1_000_000))} MB"
end
