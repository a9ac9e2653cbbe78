defmodule Mix.ZenMonitor.Demo.Plot do
  @moduledoc false
  # Plots as inline SVG, in the colours that the page gives to their classes. Coordinates are made
  # for a width of 400, at which text has the size that it says.

  @width 400
  @height 220
  @left 46
  @right 12
  @top 26
  @bottom 30

  @typedoc "Points of one colour. `area?` fills what is below them."
  @type series :: %{label: String.t(), class: String.t(), points: [{number, number}]}

  @doc """
  Lines over time. Options: `:title`, `:x` and `:y` with the ends of the axes, `:unit` to write
  behind the numbers of the second, `:mark` with what happened at time 0.
  """
  def lines(series, options) do
    {x, y} =
      {scale(options[:x], @left, @width - @right), scale(options[:y], @height - @bottom, @top)}

    svg(options[:title], @height, [
      y_axis(options[:y], y, options[:unit]),
      x_axis(options[:x], x, @height, "s"),
      mark(options[:mark], x),
      for({one, index} <- Enum.with_index(series), do: series(one, index, x, y)),
      if(length(series) > 1, do: key(series), else: [])
    ])
  end

  @doc """
  Every message that a process has handled, in reading order: cells of `per_cell` messages, mixed
  of the two colours by how many of them were work. `order` is `[{:down | :work, count}]`.
  """
  def messages(order, per_cell, rows, title) do
    columns = 56
    {size, gap} = {6.2, 0.8}
    cells = cells(order, per_cell, 0, 0, []) |> Enum.take(columns * rows)
    height = Float.round(rows * (size + gap) + 4, 1)

    svg(title, height, [
      for {share, index} <- Enum.with_index(cells) do
        {row, column} = {div(index, columns), rem(index, columns)}

        ~s(<rect class="cell" x="#{round1(4 + column * (size + gap))}" ) <>
          ~s(y="#{round1(2 + row * (size + gap))}" width="#{size}" height="#{size}" rx="1.2" ) <>
          ~s(fill="#{mix(share)}"/>)
      end
    ])
  end

  @doc "How many cells it takes to draw all."
  def cell_count(order, per_cell) do
    ceil(Enum.sum(for {_, count} <- order, do: count) / per_cell)
  end

  @doc """
  Distributions on a logarithmic axis of microseconds, one row for each series, with its median and
  its 99th percentile.
  """
  def distributions(series, title) do
    values = for %{values: values} <- series, value <- values, do: max(value, 0.01)
    {low, high} = {floor(:math.log10(Enum.min(values))), ceil(:math.log10(Enum.max(values)))}
    x = scale({low, max(high, low + 1)}, 14, @width - 14)
    row = 74
    height = row * length(series) + 40

    svg(title, height, [
      for power <- low..high do
        at = round1(x.(power))

        [
          ~s(<line class="grid" x1="#{at}" x2="#{at}" y1="14" y2="#{height - 26}"/>),
          text(at, height - 10, anchor(power, low, high), "tick", duration(:math.pow(10, power)))
        ]
      end,
      for {%{label: label, class: class, values: values}, index} <- Enum.with_index(series) do
        middle = 48 + index * row
        sorted = Enum.sort(values)

        [
          text(14, middle - 24, "start", "label #{class}", label),
          for {value, number} <- Enum.with_index(values) do
            # Spread over the height of the row, the same way each time.
            y = middle + rem(number * 7, 19) - 9
            at = round1(x.(:math.log10(max(value, 0.01))))
            ~s(<circle class="dot #{class}" cx="#{at}" cy="#{y}" r="1.7"/>)
          end,
          quantile(sorted, 0.5, "median", x, middle),
          quantile(sorted, 0.99, "99 %", x, middle)
        ]
      end
    ])
  end

  @doc "A number of microseconds for people."
  def duration(us) when us < 1, do: "#{trunc(us * 1_000)} ns"
  def duration(us) when us < 1_000, do: "#{short(us)} µs"
  def duration(us) when us < 1_000_000, do: "#{short(us / 1_000)} ms"
  def duration(us), do: "#{short(us / 1_000_000)} s"

  @doc "The value below which so great a part of a sorted list is."
  def percentile(sorted, part),
    do: Enum.at(sorted, min(floor(length(sorted) * part), length(sorted) - 1))

  @doc "A number of at most three digits or so."
  def short(number) when number >= 100 or number == trunc(number) do
    number |> round() |> Mix.ZenMonitor.Demo.number()
  end

  def short(number) when number >= 10, do: number |> Float.round(1) |> trim()
  def short(number), do: number |> Float.round(2) |> trim()

  @doc "The end of an axis that has room for a value."
  def ceiling(value) when value <= 0, do: 1

  def ceiling(value) do
    magnitude = :math.pow(10, floor(:math.log10(value)))
    Enum.find([1, 1.5, 2, 3, 4, 5, 6, 8, 10], &(&1 * magnitude >= value)) * magnitude
  end

  defp svg(title, height, content) do
    [
      ~s(<svg viewBox="0 0 #{@width} #{height}" role="img" aria-label="#{escape(title)}">),
      content,
      "</svg>"
    ]
  end

  defp scale({from, to}, start, stop),
    do: fn value -> start + (value - from) / (to - from) * (stop - start) end

  defp y_axis({low, high}, y, unit) do
    for step <- 0..4, value = low + (high - low) * step / 4 do
      at = round1(y.(value))

      [
        ~s(<line class="grid" x1="#{@left}" x2="#{@width - @right}" y1="#{at}" y2="#{at}"/>),
        text(
          @left - 6,
          at + 4,
          "end",
          "tick",
          short(value) <> if(step == 4, do: unit || "", else: "")
        )
      ]
    end
  end

  defp x_axis({low, high}, x, height, unit) do
    step = Enum.find([0.1, 0.2, 0.5, 1, 2, 5, 10, 20], 50, &((high - low) / &1 <= 6))

    for number <- ceil(low / step)..floor(high / step) do
      label = short(number * step / 1) <> if(number == 0, do: " " <> unit, else: "")
      text(round1(x.(number * step)), height - 10, "middle", "tick", label)
    end
  end

  defp mark(nil, _x), do: []

  defp mark(label, x) do
    at = round1(x.(0))

    [
      ~s(<line class="mark" x1="#{at}" x2="#{at}" y1="#{@top - 4}" y2="#{@height - @bottom}"/>),
      text(at + 5, @top + 5, "start", "tick", label)
    ]
  end

  defp series(%{points: []}, _index, _x, _y), do: []

  defp series(%{class: class, points: points}, _index, x, y) do
    [{first, _} | _] = points
    {last, _} = List.last(points)
    path = Enum.map_join(points, " ", fn {px, py} -> "#{round1(x.(px))},#{round1(y.(py))}" end)
    base = round1(y.(0))

    [
      ~s(<polygon class="area #{class}" points="#{round1(x.(first))},#{base} #{path} #{round1(x.(last))},#{base}"/>),
      ~s(<polyline class="line #{class}" data-points="#{length(points)}" points="#{path}"/>)
    ]
  end

  defp key(series) do
    {labels, _} =
      Enum.map_reduce(series, @left, fn %{label: label, class: class}, at ->
        {text(at, 14, "start", "label #{class}", label), at + 7 * String.length(label) + 14}
      end)

    labels
  end

  defp quantile(sorted, part, label, x, middle) do
    value = percentile(sorted, part)
    at = round1(x.(:math.log10(max(value, 0.01))))
    anchor = if at > @width / 2, do: "end", else: "start"
    shift = if anchor == "end", do: -4, else: 4
    height = if part == 0.5, do: middle + 21, else: middle - 12

    [
      ~s(<line class="quantile" x1="#{at}" x2="#{at}" y1="#{middle - 12}" y2="#{middle + 12}"/>),
      text(at + shift, height, anchor, "value", "#{label} #{duration(value)}")
    ]
  end

  defp cells([], _per_cell, 0, _work, cells), do: Enum.reverse(cells)
  defp cells([], _per_cell, filled, work, cells), do: Enum.reverse([work / filled | cells])

  defp cells([{kind, count} | order], per_cell, filled, work, cells) do
    taken = min(count, per_cell - filled)
    work = if kind == :work, do: work + taken, else: work
    order = if taken == count, do: order, else: [{kind, count - taken} | order]

    if filled + taken == per_cell,
      do: cells(order, per_cell, 0, 0, [work / per_cell | cells]),
      else: cells(order, per_cell, filled + taken, work, cells)
  end

  # From the colour of a :DOWN to that of work.
  defp mix(share) do
    {down, work} = {{0xE6, 0x9F, 0x00}, {0x1F, 0x78, 0xB4}}

    "#" <>
      Enum.map_join(0..2, fn index ->
        (elem(down, index) * (1 - share) + elem(work, index) * share)
        |> round()
        |> Integer.to_string(16)
        |> String.pad_leading(2, "0")
      end)
  end

  defp anchor(power, low, high) do
    case power do
      ^low -> "start"
      ^high -> "end"
      _ -> "middle"
    end
  end

  defp text(x, y, anchor, class, content) do
    ~s(<text class="#{class}" x="#{x}" y="#{y}" text-anchor="#{anchor}">#{escape(content)}</text>)
  end

  @doc "Text that may stand anywhere in a page."
  def escape(text) do
    text
    |> String.replace("&", "&amp;")
    |> String.replace("<", "&lt;")
    |> String.replace(">", "&gt;")
    |> String.replace("\"", "&quot;")
  end

  defp trim(number) do
    number |> Float.to_string() |> String.trim_trailing("0") |> String.trim_trailing(".")
  end

  defp round1(number), do: Float.round(number / 1, 1)
end
