defmodule ZenMonitor.DemoTest do
  # `mix zen_monitor.demo` and its report.
  use ExUnit.Case, async: false

  @moduletag timeout: :timer.minutes(5)

  @plots for plot <- ~w(messages queue work death herd memory),
             kind <- ~w(process zen),
             do: "#{plot}-#{kind}"

  test "the terminal has its text, and every plot of the report its data" do
    file = Path.join(System.tmp_dir!(), "zen_monitor_#{System.pid()}.html")
    on_exit(fn -> File.rm(file) end)

    # The other nodes write to the same output as this one, and that must be a real terminal or file.
    args = ["zen_monitor.demo", "--processes", "1500", "--output", file]
    {output, status} = System.cmd("mix", args, env: [{"MIX_ENV", "test"}], stderr_to_stdout: true)
    assert status == 0, output

    assert output =~ "1,500 :DOWN messages"
    assert output =~ "reasons: %{killed: 1500}"
    assert output =~ "reasons: %{nodedown: 1500}"
    assert output =~ "0 missing"
    assert output =~ Path.basename(file)

    page = File.read!(file)
    figures = figures(page)
    assert Enum.sort(Map.keys(figures)) == Enum.sort(@plots ++ ["latency-exits", "latency-calls"])

    for id <- @plots, not String.starts_with?(id, "messages") do
      lines =
        Regex.scan(~r/<polyline [^>]*points="([^"]*)"/, figures[id], capture: :all_but_first)

      assert lines != [], id
      for [points] <- lines, do: assert_line(id, points)
    end

    for id <- ["death-zen", "herd-process"], do: assert(figures[id] =~ ~r/class="line other"/)

    for kind <- ["process", "zen"] do
      colours =
        Regex.scan(~r/<rect class="cell"[^>]* fill="(#\w{6})"/, figures["messages-#{kind}"])

      assert length(colours) > 100
      # :DOWN messages, and work.
      assert colours |> Enum.uniq() |> length() >= 2
    end

    # The longest run is that of the picture, whose cells are of one message or a few.
    assert [[_, per_cell]] = Regex.scan(~r/One cell is (\d+) messages/, page)
    per_cell = String.to_integer(per_cell)

    assert [[_ | runs]] =
             Regex.scan(~r"between two pieces of work</th><td>(\d+)</td><td>(\d+)</td>", page)

    for {kind, run} <- Enum.zip(["process", "zen"], runs) do
      cells = longest_run(figures["messages-#{kind}"])
      assert String.to_integer(run) in (cells * per_cell)..((cells + 2) * per_cell - 2)
    end

    for what <- ["exits", "calls"], kind <- ["process", "zen"] do
      dots =
        Regex.scan(
          ~r/<circle class="dot #{kind}" cx="[\d.]+" cy="\d+"/,
          figures["latency-#{what}"]
        )

      assert length(dots) >= 100
    end

    # There is one figure for each of the three ways to monitor, and a set leaves next to nothing on the heap.
    assert [[_, process, zen, set]] =
             Regex.scan(
               ~r"heap, for each process</th><td>(\d+) bytes</td><td>(\d+) bytes</td><td>(\d+) bytes",
               page
             )

    assert String.to_integer(process) >= 40 and String.to_integer(zen) >= 40
    assert String.to_integer(set) <= 2

    assert page =~ System.version() and page =~ "Erlang/OTP #{System.otp_release()}"
    assert page =~ "prefers-color-scheme:dark"
    refute page =~ ~r/https?:|src=|href=|url\(|<script|NaN|nil/
  end

  test "arguments that make no sense are refused" do
    for args <- [["what"], ["--processes", "1"], ["--processes", "many"]] do
      assert_raise Mix.Error, ~r/--processes NUMBER/, fn ->
        Mix.Tasks.ZenMonitor.Demo.run(args)
      end
    end
  end

  defp figures(page) do
    for [id, figure] <-
          Regex.scan(~r/<figure id="([^"]+)">(.*?)<\/figure>/s, page, capture: :all_but_first),
        into: %{},
        do: {id, figure}
  end

  # The most cells in a row that have nothing but :DOWN messages.
  defp longest_run(figure) do
    ~r/<rect class="cell"[^>]* fill="(#\w{6})"/
    |> Regex.scan(figure, capture: :all_but_first)
    |> Enum.chunk_by(& &1)
    |> Enum.filter(&match?([["#E69F00"] | _], &1))
    |> Enum.map(&length/1)
    |> Enum.max(fn -> 0 end)
  end

  # Enough points, in order, and all of them inside the picture.
  defp assert_line(id, points) do
    points =
      for point <- String.split(points) do
        [x, y] = point |> String.split(",") |> Enum.map(&String.to_float/1)
        assert x >= 40 and x <= 400 and y >= 20 and y <= 200, "#{id}: #{point}"
        x
      end

    assert length(points) >= 10, id
    assert points == Enum.sort(points)
  end
end
