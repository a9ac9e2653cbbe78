defmodule Mix.Tasks.Compile.ZenMonitorNative do
  @moduledoc """
  Puts the NIF library of ZenMonitor where the VM looks for it.

  Cargo builds it, in the root of the package, so its own settings (`CARGO_TARGET_DIR`,
  `CARGO_BUILD_TARGET`, `.cargo/config.toml`) apply. Or a library is taken that
  `mix zen_monitor.library.pack` has packed, and Rust need not be there: the environment variable
  `ZEN_MONITOR_LIBRARY`, or `config :zen_monitor, library: path`, names the tarball, a folder of them,
  or a `.so` beside its manifest. `ZEN_MONITOR_BUILD=1` has it built all the same.

  The library goes to the `priv/native` of the build path rather than of the sources: environments
  and projects that share one checkout do not overwrite each other's, and releases take it from there.
  """
  use Mix.Task.Compiler

  alias Mix.ZenMonitor.Library.{Cargo, Prebuilt, Sources, Target}

  # See `with_parts/1`.
  @compile {:no_warn_undefined, [Cargo, Prebuilt, Sources, Target]}

  @recursive true

  @parts Path.wildcard(Path.expand("../lib/mix/zen_monitor/library/*.ex", __DIR__))

  @impl true
  def run(args), do: with_parts(fn -> bring_up_to_date("--force" in args) end)

  @impl true
  def manifests, do: [manifest()]

  # Cargo's target directory stays: it may serve other projects, and Cargo itself knows what in it
  # is out of date.
  @impl true
  def clean do
    File.rm(manifest())
    File.rm(library())
    :ok
  end

  defp manifest, do: Path.join(Mix.Project.manifest_path(), "compile.zen_monitor_native")

  # The VM looks for .so on macOS as well.
  defp library, do: Path.join(Mix.Project.app_path(), "priv/native/zen_monitor_nif.so")

  # What this compiler shares with `mix zen_monitor.library.pack` is part of the package, and compiled
  # after this has run. So it is loaded from its sources here, and unloaded again before Elixir's
  # compiler comes, which would warn of modules that are there already.
  defp with_parts(fun) do
    former = Code.get_compiler_option(:ignore_module_conflict)
    Code.put_compiler_option(:ignore_module_conflict, true)

    # Elixir 1.14 does not know the option, and later versions warn without it.
    {:ok, modules, _} = Kernel.ParallelCompiler.require(@parts, return_diagnostics: true)
    Code.put_compiler_option(:ignore_module_conflict, former)

    try do
      fun.()
    after
      for module <- modules, do: :code.delete(module) and :code.purge(module)
    end
  end

  defp bring_up_to_date(force?) do
    sources = Sources.hash()
    {origin, get} = wanted(sources)

    if force? or stale?(sources, origin) do
      install(get.())
      File.mkdir_p!(Path.dirname(manifest()))
      File.write!(manifest(), [sources, "\n", origin || "built"])
      {:ok, []}
    else
      {:noop, []}
    end
  end

  # Where the library has to come from, the digest of a file, `built`, or `nil` for either; and how to
  # get it. A prebuilt one is read each time, so one that does not fit is told of each time.
  defp wanted(sources) do
    location = Prebuilt.location()

    cond do
      System.get_env("ZEN_MONITOR_BUILD") in ["1", "true"] ->
        {"built", &build!/0}

      location ->
        {library, digest} = Prebuilt.read!(location, expected(sources))
        {digest, fn -> library end}

      true ->
        {nil, &build!/0}
    end
  end

  defp expected(sources) do
    %{
      package: Mix.Project.config()[:version],
      sources: sources,
      target: Target.wanted(),
      nif: Sources.nif_version()
    }
  end

  defp stale?(sources, origin) do
    with true <- File.regular?(library()),
         {:ok, text} <- File.read(manifest()),
         [^sources, former] <- String.split(text, "\n") do
      origin not in [nil, former]
    else
      _ -> true
    end
  end

  # What users get is what was tested; only a developer may be in the middle of changing it.
  defp build! do
    locked = if Mix.env() == :dev, do: [], else: ["--locked"]
    locked |> Cargo.build!() |> File.read!()
  end

  # Renamed into place: a running VM may have the old file mapped, and would crash were it
  # overwritten. Two of them, an editor's and a terminal's, may compile at the same time.
  defp install(content) do
    new = "#{library()}.#{System.pid()}"
    File.mkdir_p!(Path.dirname(new))
    File.write!(new, content)
    File.rename!(new, library())
  end
end
