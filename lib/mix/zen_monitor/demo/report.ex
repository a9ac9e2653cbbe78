defmodule Mix.ZenMonitor.Demo.Report do
  @moduledoc false
  # The page that shows a comparison. It needs no network and no script.

  import Mix.ZenMonitor.Demo, only: [number: 1]

  import Mix.ZenMonitor.Demo.Plot,
    only: [ceiling: 1, duration: 1, escape: 1, percentile: 2, short: 1]

  alias Mix.ZenMonitor.Demo.Plot

  @kinds [process: "Process.monitor/1", zen: "ZenMonitor"]
  @with_sets @kinds ++ [set: "ZenMonitor.Set"]
  # Messages in one cell of the picture.
  @cells 1_200

  @doc "The page, as iodata."
  def html(comparison) do
    [
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">",
      ~s(<meta name="viewport" content="width=device-width, initial-scale=1">),
      ~s(<meta name="color-scheme" content="light dark">),
      "<title>ZenMonitor at work</title><style>",
      style(),
      "</style></head><body><main>",
      header(comparison),
      starvation(comparison),
      death(comparison),
      herd(comparison),
      amplification(comparison),
      latencies(comparison),
      keeping(comparison),
      footer(comparison),
      "</main></body></html>\n"
    ]
  end

  defp header(comparison) do
    """
    <header>
    <p class="eyebrow">ZenMonitor #{comparison.machine.zen_monitor}</p>
    <h1>What happens when everything dies at once</h1>
    <p class="lead">Two Erlang nodes on one machine. Processes on one monitor processes on the other,
    first with <code>Process.monitor/1</code>, then with <code>ZenMonitor.monitor/1</code> and its
    default settings. Everything below was measured in the run that wrote this page.</p>
    </header>
    """
  end

  defp footer(%{machine: machine}) do
    """
    <footer><h2>The machine</h2><dl>
    #{for {term, value} <- [{"Run", machine.time}, {"Processor", machine.processor}, {"Schedulers", "#{machine.schedulers} for each node"}, {"System", machine.architecture}, {"Versions", "ZenMonitor #{machine.zen_monitor}, Elixir #{machine.elixir}, Erlang/OTP #{machine.otp}"}],
    do: "<div><dt>#{term}</dt><dd>#{escape(value)}</dd></div>"}
    </dl><p>Made by <code>mix zen_monitor.demo</code>. All nodes share the processor, so what one
    needs the others lack.</p></footer>
    """
  end

  ## Sections

  defp starvation(%{count: count, deaths: deaths}) do
    orders = for {kind, _} <- @kinds, into: %{}, do: {kind, since(deaths[kind].order)}
    total = orders |> Map.values() |> Enum.map(&messages/1) |> Enum.max()
    per_cell = max(ceil(total / @cells), 1)
    rows = orders |> Map.values() |> Enum.map(&Plot.cell_count(&1, per_cell)) |> Enum.max()
    waits = for {kind, _} <- @kinds, into: %{}, do: {kind, longest(deaths[kind].work)}
    runs = for {kind, _} <- @kinds, into: %{}, do: {kind, longest_run(orders[kind])}

    queues =
      for {kind, _} <- @kinds,
          into: %{},
          do: {kind, deaths[kind].here |> values(:queue) |> max_or_0()}

    x = span(deaths, [:here])

    section(
      "Starvation",
      "A guild watches #{number(count)} processes on a node that dies, and has #{number(1_000)} " <>
        "pieces of other work to do each second. In its mailbox the news either comes first, or " <>
        "in between.",
      [
        ["Longest wait of a piece of work", duration(waits.process), duration(waits.zen)],
        [
          "Longest run of <code>:DOWN</code>s between two pieces of work",
          number(runs.process),
          number(runs.zen)
        ],
        ["Longest queue, in messages", number(queues.process), number(queues.zen)]
      ],
      [
        figures(
          "messages",
          "Every message in the order in which the guild handled it, from left to right and from " <>
            "top to bottom. One cell is #{number(per_cell)} messages. " <>
            ~s(<span class="swatch down"></span> <code>:DOWN</code> <span class="swatch work"></span> other work),
          fn kind, name ->
            Plot.messages(
              orders[kind],
              per_cell,
              ceil(rows / 56),
              "Messages handled with #{name}"
            )
          end
        ),
        figures("queue", "Messages in the guild’s mailbox", fn kind, name ->
          Plot.lines([series(kind, deaths[kind].here, :queue)],
            title: "Mailbox with #{name}",
            x: x,
            y: {0, ceiling(max(queues.process, queues.zen))},
            mark: "node dies"
          )
        end),
        figures("work", "How long a piece of work waited for the guild, in milliseconds", fn kind,
                                                                                             name ->
          Plot.lines([%{class: class(kind), label: name, points: binned(deaths[kind].work)}],
            title: "Waiting with #{name}",
            x: x,
            y: {0, ceiling(max(waits.process, waits.zen) / 1_000)},
            unit: " ms",
            mark: "node dies"
          )
        end)
      ]
    )
  end

  defp death(%{count: count, deaths: deaths}) do
    section(
      "Death of a node",
      "The same #{number(count)} processes die with their node: how busy the schedulers are, in " <>
        "percent of their time.",
      [
        [
          "Busiest moment of the surviving node",
          percent(deaths.process.here),
          percent(deaths.zen.here)
        ]
      ],
      utilisation("death", deaths, "node dies", "dying node")
    )
  end

  defp herd(%{count: count, budget: budget, herds: herds}) do
    section(
      "Thundering herd",
      "One process dies, and #{number(count)} processes on the other node are told. ZenMonitor takes " <>
        "its time on purpose: its budget is #{number(budget)} messages a second.",
      [
        [
          "All have been told after",
          duration(herds.process.settled),
          duration(herds.zen.settled)
        ],
        [
          "Busiest moment of the watching node",
          percent(herds.process.here),
          percent(herds.zen.here)
        ]
      ],
      utilisation("herd", herds, "process dies", "watched node")
    )
  end

  defp amplification(%{crowd: crowd, amplifications: amplifications}) do
    growth =
      for {kind, _} <- @kinds, into: %{} do
        {kind, Enum.map(relative(amplifications[kind].here), &elem(&1, 1)) |> Enum.max()}
      end

    top = ceiling(growth |> Map.values() |> Enum.max())

    section(
      "Amplification",
      "A process crashes with its state in the reason, and #{number(crowd)} processes that are " <>
        "busy with something else have that in their mailboxes for a while.",
      [
        [
          "Most memory beyond what it was",
          "#{short(growth.process)} MB",
          "#{short(growth.zen)} MB"
        ]
      ],
      [
        figures("memory", "Memory of the watching node, in megabytes beyond what it was", fn kind,
                                                                                             name ->
          Plot.lines(
            [%{class: class(kind), label: name, points: relative(amplifications[kind].here)}],
            title: "Memory with #{name}",
            x: span(amplifications, [:here]),
            y: {0, top},
            unit: " MB",
            mark: "crash"
          )
        end)
      ]
    )
  end

  defp latencies(%{latencies: latencies}) do
    fact = fn name, what, part ->
      [name | for({kind, _} <- @kinds, do: latencies[kind][what] |> at(part) |> duration())]
    end

    section(
      "Quiet times",
      "Nothing else is going on: how long it takes from an exit to its <code>:DOWN</code>, and how " <>
        "long a call of <code>monitor/1</code> takes its caller.",
      [
        fact.("Exit to <code>:DOWN</code>, median", :exits, 0.5),
        fact.("Exit to <code>:DOWN</code>, 99 %", :exits, 0.99),
        fact.("After a quarter of a second of silence, median", :silent, 0.5),
        fact.("Call of <code>monitor/1</code>, median", :calls, 0.5)
      ],
      [
        ~s(<div class="pair">),
        for {what, caption} <- [exits: "From an exit to its :DOWN", calls: "A call of monitor/1"] do
          series =
            for {kind, name} <- @kinds,
                do: %{class: class(kind), label: name, values: thin(latencies[kind][what])}

          figure("latency-#{what}", "", caption, Plot.distributions(series, caption))
        end,
        "</div>"
      ]
    )
  end

  defp keeping(%{count: count, keeping: keeping}) do
    fact = fn name, shown -> [name | for({kind, _} <- @with_sets, do: shown.(keeping[kind]))] end

    section(
      "One reference",
      "A guild comes to watch #{number(count)} processes. A reference for each is what it has to keep, and " <>
        "to collect again and again; a set of them all has one.",
      @with_sets,
      [
        fact.("In the call, for each process", &"#{number(round(&1.call))} ns"),
        fact.("On the guild’s heap, for each process", &"#{number(round(&1.bytes))} bytes"),
        fact.("One collection of the guild’s garbage", &duration(&1.pause))
      ],
      []
    )
  end

  defp utilisation(name, runs, mark, other) do
    x = span(runs, [:here, :there])

    [
      figures(name, "Scheduler utilisation, in percent", fn kind, title ->
        Plot.lines(
          [
            %{series(kind, runs[kind].here, :utilisation) | label: "watching node"},
            %{class: "other", label: other, points: points(runs[kind].there, :utilisation)}
          ],
          title: "Utilisation with #{title}",
          x: x,
          y: {0, 100},
          unit: " %",
          mark: mark
        )
      end)
    ]
  end

  ## Parts of the page

  defp section(title, text, kinds \\ @kinds, facts, figures) do
    [
      ~s(<section><h2>#{title}</h2><p>#{text}</p><table><thead><tr><th></th>),
      for(
        {kind, name} <- kinds,
        do: ~s(<th scope="col" class="#{class(kind)}">#{breakable(name)}</th>)
      ),
      "</tr></thead><tbody>",
      for([name | values] <- facts) do
        ~s(<tr><th scope="row">#{name}</th>#{for value <- values, do: "<td>#{value}</td>"}</tr>)
      end,
      "</tbody></table>",
      figures,
      "</section>"
    ]
  end

  defp breakable(name), do: String.replace(name, ".", ".<wbr>")

  # The same plot for both, on the same axes.
  defp figures(plot, caption, draw) do
    [
      ~s(<p class="caption">#{caption}</p><div class="pair">),
      for(
        {kind, name} <- @kinds,
        do: figure("#{plot}-#{kind}", class(kind), name, draw.(kind, name))
      ),
      "</div>"
    ]
  end

  defp figure(id, class, caption, plot) do
    [
      ~s(<figure id="#{id}"><figcaption class="#{class}">#{escape(caption)}</figcaption>),
      plot,
      "</figure>"
    ]
  end

  defp class(:process), do: "process"
  defp class(:zen), do: "zen"
  defp class(:set), do: "set"

  ## Figures

  defp series(kind, samples, value) do
    %{class: class(kind), label: @kinds[kind], points: points(samples, value)}
  end

  defp points(samples, :utilisation),
    do: for(s <- samples, do: {s.time, 100 * min(s.utilisation, 1)})

  defp points(samples, :queue), do: for(s <- samples, do: {s.time, s.queue || 0})

  defp values(samples, key), do: for(sample <- samples, do: Map.fetch!(sample, key) || 0)

  defp relative([first | _] = samples) do
    for s <- samples, do: {s.time, max(s.memory - first.memory, 0) / 1_000_000}
  end

  defp percent(samples), do: "#{round(100 * min(max_or_0(values(samples, :utilisation)), 1))} %"

  defp max_or_0([]), do: 0
  defp max_or_0(values), do: Enum.max(values)

  # The quiet before is of no interest for the order.
  defp since(order) do
    case order do
      [{:work, _} | rest] -> [{:work, 200} | rest]
      _ -> order
    end
  end

  defp messages(order), do: Enum.sum(for {_, count} <- order, do: count)

  defp longest_run(order), do: max_or_0(for {:down, count} <- order, do: count)

  defp longest(work), do: work |> Enum.map(&elem(&1, 1)) |> max_or_0()

  # The longest wait of each fiftieth of a second, in milliseconds.
  defp binned(work) do
    work
    |> Enum.group_by(fn {time, _} -> floor(time * 50) end, &elem(&1, 1))
    |> Enum.sort()
    |> Enum.map(fn {bin, waits} -> {bin / 50, Enum.max(waits) / 1_000} end)
  end

  defp at(values, part), do: values |> Enum.sort() |> percentile(part)

  # As many dots as can be told apart.
  defp thin(values), do: Enum.take_every(values, max(div(length(values), 400), 1))

  # One time axis for both, in whole fifths of a second.
  defp span(runs, nodes) do
    times = for {_, run} <- runs, node <- nodes, sample <- run[node] || [], do: sample.time
    {floor(Enum.min(times) * 5) / 5, ceil(Enum.max(times) * 5) / 5}
  end

  defp style do
    """
    :root{--ink:#1c2127;--soft:#5b6570;--rule:#e3e6ea;--paper:#fbfbf9;--card:#fff;
    --process:#b8500a;--zen:#0067a5;--set:#2e7d32;--other:#7a828c;--down:#e69f00;--work:#1f78b4}
    @media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a2abb5;--rule:#30363d;--paper:#14171a;
    --card:#1b1f24;--process:#f0883e;--zen:#58b0f0;--set:#6cc070;--other:#8b949e}}
    *{box-sizing:border-box}
    body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
    -webkit-text-size-adjust:100%}
    main{max-width:68rem;margin:0 auto;padding:clamp(1.25rem,4vw,4rem) clamp(1rem,4vw,2.5rem)}
    h1{font:600 clamp(1.8rem,5vw,3rem)/1.12 Charter,"Iowan Old Style",Georgia,serif;letter-spacing:-.015em;margin:.2em 0 .5em;text-wrap:balance}
    h2{font:600 1.5rem/1.25 Charter,"Iowan Old Style",Georgia,serif;margin:0 0 .4em}
    p{max-width:42rem;margin:.4em 0}
    .eyebrow{color:var(--zen);font-weight:600;font-size:.9rem;margin:0}
    .lead{font-size:1.1rem;color:var(--soft)}
    code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
    section,footer{border-top:1px solid var(--rule);margin-top:3.5rem;padding-top:2rem}
    table{border-collapse:collapse;margin:1.2rem 0 1.6rem;font-variant-numeric:tabular-nums;width:100%;max-width:42rem;table-layout:fixed}
    th,td{text-align:right;padding:.4rem 0 .4rem .75rem;vertical-align:baseline;border-bottom:1px solid var(--rule);font-weight:400}
    th:first-child{text-align:left;padding-left:0;width:42%}
    thead th{font-size:.85rem;font-weight:600;border-bottom-width:2px}
    td{font-weight:600}
    .caption{color:var(--soft);font-size:.92rem;margin:1.6rem 0 .6rem}
    .pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:1rem}
    figure{margin:0;background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:.8rem .8rem .5rem;min-width:0}
    figcaption{font-weight:600;font-size:.9rem;margin-bottom:.3rem}
    svg{display:block;width:100%;height:auto;font-family:inherit}
    th.process,figcaption.process{color:var(--process)}th.zen,figcaption.zen{color:var(--zen)}th.set{color:var(--set)}
    text{font-size:11px;fill:var(--soft);font-variant-numeric:tabular-nums}
    .label{font-weight:600}text.process{fill:var(--process)}text.zen{fill:var(--zen)}text.other{fill:var(--other)}
    .value{fill:var(--ink);font-weight:600;paint-order:stroke;stroke:var(--card);stroke-width:3px}
    .grid{stroke:var(--rule);stroke-width:1}.mark{stroke:var(--soft);stroke-dasharray:2 3}
    .quantile{stroke:var(--ink);stroke-width:1.5}
    .line{fill:none;stroke-width:1.6;stroke-linejoin:round}.area{opacity:.13;stroke:none}
    .line.process{stroke:var(--process)}.line.zen{stroke:var(--zen)}.line.other{stroke:var(--other);stroke-dasharray:4 3}
    .area.process,.dot.process{fill:var(--process)}.area.zen,.dot.zen{fill:var(--zen)}.area.other{fill:none}
    .dot{opacity:.4}
    .swatch{display:inline-block;width:.75em;height:.75em;border-radius:2px;margin-left:.5em}
    .swatch.down{background:var(--down)}.swatch.work{background:var(--work)}
    dl{margin:0}dl div{display:flex;gap:1rem;padding:.25rem 0}dt{color:var(--soft);flex:0 0 6.5rem}dd{margin:0}
    footer p{color:var(--soft);font-size:.92rem}
    """
  end
end
