defmodule ZenMonitor.ArchitectureTest do
  # Which files of the native crates may import which. The guide to the architecture has the reasons.
  use ExUnit.Case, async: true

  # What each folder may use, including itself. A file at the root of a crate counts as a folder of its own. A file
  # belongs to the longest folder that is named here.
  @core %{
    "structures" => ~w(structures),
    "monitors" => ~w(monitors structures),
    "subscriptions" => ~w(subscriptions structures),
    "truncation" => ~w(truncation),
    "wire" => ~w(wire),
    # A test of both sides.
    "names" => ~w(monitors subscriptions)
  }

  # The floors, the lowest first. The two sides do not know each other.
  @sides ~w(sides sides/local sides/proxy)
  @nif %{
    "terms" => ~w(terms),
    "sides" => ~w(terms sides),
    "sides/local" => ~w(terms sides sides/local),
    "sides/proxy" => ~w(terms sides sides/proxy),
    "state" => ~w(terms state) ++ @sides,
    "calls" => ~w(terms state calls) ++ @sides,
    "library" => ~w(terms state calls library) ++ @sides
  }

  test "the rooms of the core use only what they may" do
    imports = imports("native/zen_monitor_core/src")
    assert map_size(imports) > 20
    assert trespasses(imports, @core) == []
  end

  test "no two files of the core import each other, directly or through others" do
    assert "native/zen_monitor_core/src" |> imports() |> circle() == nil
  end

  test "no floor of the NIF crate uses a higher one, and no side the other" do
    imports = imports("native/zen_monitor_nif/src")
    assert map_size(imports) > 40
    assert trespasses(imports, @nif) == []
  end

  test "no two files of the NIF crate import each other, directly or through others" do
    assert "native/zen_monitor_nif/src" |> imports() |> circle() == nil
  end

  test "in the terms of the NIF crate, the external format and the heap do not know each other" do
    imports = imports("native/zen_monitor_nif/src")
    assert "terms/heap" not in reached(imports, "terms/etf")
    assert "terms/etf" not in reached(imports, "terms/heap")
    assert "terms/etf" in reached(imports, "terms/probe")
  end

  test "imports are understood in each of their forms" do
    assert paths("use crate::state::current;", "a") == [~w(state current)]
    assert ~w(terms word) in paths("use crate::terms::{atoms, word};", "a")
    assert ~w(terms etf) in paths("use crate::{state, terms::etf};", "a")
    assert ~w(terms heap g) in paths("fn f() { crate::terms::heap::g() }", "a")
    assert ~w(sides local) in paths("use super::{Local, Watch};", "sides/local/node")
    assert paths("// crate::terms::heap", "a") == []
  end

  test "a trespass and a circle are found" do
    imports = %{"structures/slab" => ["monitors/table"], "monitors/table" => ["structures/slab"]}
    assert trespasses(imports, @core) == [{"structures/slab", "monitors/table"}]
    imports = %{"sides/local/set" => ["sides/proxy/connector", "sides/doorbell", "state"]}

    assert trespasses(imports, @nif) ==
             for(other <- ~w(sides/proxy/connector state), do: {"sides/local/set", other})

    imports = %{"structures/slab" => ["monitors/table"], "monitors/table" => ["structures/slab"]}
    assert circle(imports) == ["monitors/table", "structures/slab"]
    assert circle(%{"a" => ["b"], "b" => ["c"], "c" => []}) == nil
  end

  # The files of a crate with the files that each imports, both as paths without `.rs`. Tests do not
  # count.
  defp imports(root) do
    sources =
      for path <- Path.wildcard("#{root}/**/*.rs"),
          name = path |> Path.relative_to(root) |> Path.rootname(),
          Path.basename(name) not in ~w(lib mod tests stress),
          into: %{},
          do:
            {name, path |> File.read!() |> String.split(~r/\n#\[cfg\(.*test.*\)\]\nmod /) |> hd()}

    Map.new(sources, fn {name, source} ->
      {name, for(path <- paths(source, name), file = file(path, sources), file != name, do: file)}
    end)
  end

  # Every `crate::a::b`, also from `use crate::{a, b::c}` and by way of `super`. Comments do not import.
  defp paths(source, name) do
    parent = name |> Path.split() |> Enum.drop(-1) |> Enum.map_join(&"#{&1}::")

    source =
      source
      |> String.replace(~r{//.*}, "")
      |> String.replace(~r/\bsuper::/, "crate::#{parent}")

    single = for [_, path] <- Regex.scan(~r/\bcrate::([a-z_]+(?:::[a-z_]+)*)/, source), do: path

    grouped =
      for [_, prefix, group] <- Regex.scan(~r/\bcrate::((?:[a-z_]+::)*)\{([^}]*)\}/, source),
          name <- Regex.scan(~r/(?:^|,)\s*([a-z_]+(?:::[a-z_]+)*)/, group),
          do: prefix <> List.last(name)

    Enum.map(single ++ grouped, &String.split(&1, "::"))
  end

  # A path may name a function or type in the file.
  defp file([], _sources), do: nil

  defp file(path, sources) do
    name = Enum.join(path, "/")
    if Map.has_key?(sources, name), do: name, else: path |> Enum.drop(-1) |> file(sources)
  end

  defp trespasses(imports, allowed) do
    for {name, imported} <- imports,
        other <- Enum.uniq(imported),
        folder(other, allowed) not in Map.fetch!(allowed, folder(name, allowed)),
        do: {name, other}
  end

  # A folder that is not named counts as its own, and nothing may use it.
  defp folder(name, allowed) do
    parts = Path.split(name)
    folders = for length <- length(parts)..1//-1, do: parts |> Enum.take(length) |> Path.join()
    Enum.find(folders, List.last(folders), &Map.has_key?(allowed, &1))
  end

  # All that a file imports, directly or through others.
  defp reached(imports, name, seen \\ []) do
    Enum.reduce(imports[name], seen, fn other, seen ->
      if other in seen, do: seen, else: reached(imports, other, [other | seen])
    end)
  end

  # Files that import each other in a circle, if there are any. Files that import none of the files left are taken away,
  # again and again. What remains are circles.
  defp circle(imports) do
    {free, left} = Enum.split_with(imports, fn {_, imported} -> imported == [] end)
    free = Enum.map(free, &elem(&1, 0))

    cond do
      left == [] ->
        nil

      free == [] ->
        left |> Enum.map(&elem(&1, 0)) |> Enum.sort()

      true ->
        left |> Map.new(&without(&1, free)) |> circle()
    end
  end

  defp without({name, imported}, files), do: {name, Enum.reject(imported, &(&1 in files))}
end
