defmodule ZenMonitor.DocsTest do
  # Runs every example in the documentation: what stands in a block of Elixir in the README, the
  # guides, the changelog and the docs of the modules.
  use ZenMonitor.Case

  alias ZenMonitor.TelemetryStandIn

  @pages [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md" | Path.wildcard("{guides,docs}/*.md")
  ]

  setup do
    TelemetryStandIn.install(
      Telemetry.Metrics,
      quote unquote: false do
        for metric <- [:last_value, :sum, :counter, :distribution] do
          def unquote(metric)(name, options \\ []), do: {unquote(metric), name, options}
        end
      end
    )

    peer = start_connected_peer()

    # The variables that the examples use. The pid is one whose `:DOWN` comes at once.
    binding = [
      pid: on(peer, :dead_target),
      node: peer.node,
      ref: make_ref(),
      object: self(),
      reason: :killed
    ]

    %{binding: binding}
  end

  for page <- @pages do
    test "the examples in #{page} run", %{binding: binding} do
      run(unquote(page), File.read!(unquote(page)), binding)
    end
  end

  test "the examples in the docs of the modules run", %{binding: binding} do
    {:ok, modules} = :application.get_key(:zen_monitor, :modules)

    blocks =
      for module <- modules, {name, docs} <- docs(module), reduce: 0 do
        blocks -> blocks + run(name, docs, binding)
      end

    assert blocks >= 3
  end

  test "no example is missed" do
    for page <- @pages, line <- String.split(File.read!(page), "\n") do
      assert not String.starts_with?(String.trim(line), "```") or
               String.trim(line) in ["```", "```elixir", "```console", "```text"]
    end
  end

  test "the public modules and functions have docs and specs" do
    {:ok, modules} = :application.get_key(:zen_monitor, :modules)

    for module <- modules,
        {:docs_v1, _, _, _, %{"en" => _}, _, functions} <- [Code.fetch_docs(module)],
        {{kind, name, arity}, _, _, docs, _} <- functions,
        kind == :function and docs != :hidden and not callback?(module, name, arity) do
      function = Exception.format_mfa(module, name, arity)
      assert is_map(docs) and map_size(docs) > 0, "#{function} has no docs"
      {:ok, specs} = Code.Typespec.fetch_specs(module)
      # A function with a default argument has only the spec of the larger arity.
      assert Enum.any?(specs, fn {{of, arity_of}, _} -> of == name and arity_of >= arity end),
             "#{function} has no spec"
    end
  end

  test "the links between the pages lead somewhere" do
    for page <- @pages,
        [link] <- Regex.scan(~r/\]\(([^):]+)\)/, File.read!(page), capture: :all_but_first) do
      [file | anchor] = String.split(link, "#")
      file = Path.join(Path.dirname(page), file)
      assert File.exists?(file), "#{page} links to #{link}"
      # ExDoc knows a page by its base name.
      assert Path.expand(file) in Enum.map(@pages ++ ["LICENSE"], &Path.expand/1)
      for id <- anchor, do: assert(id in headings(file), "#{page} links to #{link}")
    end
  end

  defp headings(file) do
    for [heading] <- Regex.scan(~r/^#+ (.+)$/m, File.read!(file), capture: :all_but_first) do
      heading |> String.downcase() |> String.replace(~r/[^\w -]/, "") |> String.replace(" ", "-")
    end
  end

  defp callback?(module, name, arity) do
    behaviours = for {:behaviour, names} <- module.module_info(:attributes), one <- names, do: one

    Enum.any?(behaviours, &({name, arity} in &1.behaviour_info(:callbacks))) or
      {name, arity} in [child_spec: 1]
  end

  defp docs(module) do
    case Code.fetch_docs(module) do
      {:docs_v1, _, _, _, docs, _, functions} ->
        all = [
          {inspect(module), docs}
          | for({key, _, _, docs, _} <- functions, do: {inspect({module, key}), docs})
        ]

        for {name, %{"en" => docs}} <- all, do: {name, docs}

      {:error, _} ->
        []
    end
  end

  # Runs the blocks of a page. Later blocks may use variables of earlier ones. Returns how many there are.
  defp run(name, text, binding) do
    blocks = Regex.scan(~r/^( *)```elixir\n(.*?)^ *```$/ms, text, capture: :all_but_first)

    Enum.reduce(blocks, binding, fn [_indent, block], binding -> example(name, block, binding) end)

    length(blocks)
  end

  defp example(name, "config" <> _ = block, binding) do
    assert [zen_monitor: values] = Config.Reader.eval!(name, "import Config\n" <> block)
    for {key, value} <- values, do: assert(ZenMonitor.Config.put(key, value) == :ok)
    binding
  end

  defp example(name, "def " <> _ = block, binding) do
    [{module, _}] =
      Code.compile_string("defmodule ZenMonitor.DocsTest.Example do\n#{block}\nend", name)

    assert [{:zen_monitor, requirement}] = module.deps()
    version = to_string(Application.spec(:zen_monitor, :vsn))
    assert Version.match?(version, requirement)
    :code.purge(module)
    :code.delete(module)
    binding
  end

  # The example runs in the process of the test, since its messages go there. If it hangs, the test times out.
  defp example(name, block, binding) do
    {_, binding} = Code.eval_string(block, binding, file: name)
    binding
  rescue
    error -> flunk("an example in #{name} fails: #{Exception.message(error)}\n\n#{block}")
  end
end
