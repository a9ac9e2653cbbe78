defmodule Bench.Chart do
  @moduledoc false
  # A line chart as SVG.

  @enforce_keys [:title, :x, :y, :series]
  defstruct @enforce_keys

  @typedoc "`series` are points by name."
  @type t :: %__MODULE__{
          title: String.t(),
          x: String.t(),
          y: String.t(),
          series: [%{name: String.t(), points: [[number]]}]
        }

  @width 900
  @height 400
  @left 70
  @right 230
  @top 44
  @bottom 50
  # They can be told apart by those who see fewer colours, too.
  @colours ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]

  @doc "Draws it. Both axes begin at 0."
  @spec svg(t) :: iodata
  def svg(chart) do
    points = Enum.flat_map(chart.series, & &1.points)
    scale = {ceiling(points, 0), ceiling(points, 1)}

    [
      ~s(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 #{@width} #{@height}" ),
      ~s(font-family="sans-serif" font-size="12">\n),
      ~s(<rect width="100%" height="100%" fill="white"/>\n),
      text((@width - @right + @left) / 2, 20, "middle", chart.title, ~s( font-size="15")),
      text((@width - @right + @left) / 2, @height - 10, "middle", chart.x),
      text(@left, @top - 10, "middle", chart.y),
      grid(scale),
      for({series, i} <- Enum.with_index(chart.series), do: line(series, i, scale)),
      "</svg>\n"
    ]
  end

  # The least of 1, 2 and 5 times a power of ten that no value exceeds.
  defp ceiling(points, axis) do
    highest = points |> Enum.map(&Enum.at(&1, axis)) |> Enum.max(fn -> 0 end) |> max(1.0e-9)
    power = :math.pow(10, Float.floor(:math.log10(highest)))
    Enum.find([1, 2, 5, 10], &(&1 * power >= highest * 0.999)) * power
  end

  defp grid({x_scale, y_scale} = scale) do
    for i <- 0..4 do
      {x, y} = position([x_scale * i / 4, y_scale * i / 4], scale)

      [
        ~s(<path d="M#{@left} #{y}H#{@width - @right}" stroke="#ddd"/>\n),
        text(@left - 8, y + 4, "end", label(y_scale * i / 4)),
        text(x, @height - @bottom + 18, "middle", label(x_scale * i / 4))
      ]
    end
  end

  defp line(series, i, scale) do
    colour = Enum.at(@colours, rem(i, length(@colours)))
    places = for point <- series.points, do: position(point, scale)

    [
      ~s(<polyline fill="none" stroke="#{colour}" stroke-width="2" points="),
      for({x, y} <- places, do: "#{x},#{y} "),
      ~s("/>\n),
      for({x, y} <- places, do: ~s(<circle cx="#{x}" cy="#{y}" r="3" fill="#{colour}"/>\n)),
      text(@width - @right + 24, @top + 16 + 18 * i, "start", series.name, ~s( fill="#{colour}"))
    ]
  end

  defp position([x, y], {x_scale, y_scale}) do
    {
      Float.round(@left + x / x_scale * (@width - @left - @right), 1),
      Float.round(@height - @bottom - y / y_scale * (@height - @top - @bottom), 1)
    }
  end

  defp text(x, y, anchor, content, attributes \\ "") do
    ~s(<text x="#{x}" y="#{y}" text-anchor="#{anchor}"#{attributes}>#{escape(content)}</text>\n)
  end

  defp escape(text), do: text |> String.replace("&", "&amp;") |> String.replace("<", "&lt;")

  defp label(value) when value >= 1_000_000, do: "#{short(value / 1_000_000)} million"
  defp label(value) when value >= 10_000, do: "#{short(value / 1_000)},000"
  defp label(value), do: short(value)

  defp short(value) do
    rounded = Float.round(value / 1, 2)
    if rounded == trunc(rounded), do: "#{trunc(rounded)}", else: "#{rounded}"
  end
end
