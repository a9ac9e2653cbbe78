defmodule ZenMonitor.ArchitectureTest do
  # Which files of the native crates may import which. The guide to the architecture has the reasons.
  use ExUnit.Case, async: true

  # What each folder may use, itself included. A file at the root of a crate is a folder of its own.
  @core %{
    "structures" => ~w(structures),
    "monitors" => ~w(monitors structures),
    "subscriptions" => ~w(subscriptions structures),
    "truncation" => ~w(truncation),
    "wire" => ~w(wire),
    # A test of both ends.
    "names" => ~w(monitors subscriptions)
  }

  test "the rooms of the core use only what they may" do
    imports = imports("native/zen_monitor_core/src")
    assert map_size(imports) > 20
    assert trespasses(imports, @core) == []
  end

  test "no two files of the core import each other, directly or through others" do
    assert "native/zen_monitor_core/src" |> imports() |> circle() == nil
  end

  test "a trespass and a circle are found" do
    imports = %{"structures/slab" => ["monitors/table"], "monitors/table" => ["structures/slab"]}
    assert trespasses(imports, @core) == [{"structures/slab", "monitors/table"}]
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
      {name, for(path <- paths(source), file = file(path, sources), file != name, do: file)}
    end)
  end

  # Every `crate::a::b`, also from `use crate::{a, b::c}`. Comments do not import.
  defp paths(source) do
    source = String.replace(source, ~r{//.*}, "")
    single = for [_, path] <- Regex.scan(~r/\bcrate::([a-z_]+(?:::[a-z_]+)*)/, source), do: path

    grouped =
      for [_, prefix, group] <- Regex.scan(~r/\bcrate::((?:[a-z_]+::)*)\{([^}]*)\}/, source),
          name <- Regex.scan(~r/(?:^|,)\s*([a-z_]+(?:::[a-z_]+)*)/, group),
          do: prefix <> List.last(name)

    Enum.map(single ++ grouped, &String.split(&1, "::"))
  end

  # A path goes on into the file with its functions.
  defp file([], _sources), do: nil

  defp file(path, sources) do
    name = Enum.join(path, "/")
    if Map.has_key?(sources, name), do: name, else: path |> Enum.drop(-1) |> file(sources)
  end

  defp trespasses(imports, allowed) do
    for {name, imported} <- imports,
        other <- Enum.uniq(imported),
        folder(other) not in Map.fetch!(allowed, folder(name)),
        do: {name, other}
  end

  defp folder(name), do: name |> Path.split() |> hd()

  # Files that import each other, if there are any: what is left when all that import nothing that is left
  # have been taken away.
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
