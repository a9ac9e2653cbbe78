defmodule Mix.Tasks.Compile.ZenMonitorNative do
  @moduledoc """
  Puts the NIF library of ZenMonitor where the VM looks for it.

  Cargo builds the library in the root of the package, so Cargo's own settings (`CARGO_TARGET_DIR`,
  `CARGO_BUILD_TARGET`, `.cargo/config.toml`) apply. Without Rust, a library can be used that
  `mix zen_monitor.library.pack` has packed. The environment variable `ZEN_MONITOR_LIBRARY`, or
  `config :zen_monitor, library: path`, names the tarball, a folder of tarballs, or a `.so` beside its
  manifest. `ZEN_MONITOR_BUILD=1` builds the library in any case.

  The library goes into `priv/native` below the build path, not below the sources. So environments and
  projects that share one checkout do not overwrite each other's library. Releases take it from there.
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

  # Cargo's target directory stays: other projects may use it, and Cargo itself knows what is out of date.
  @impl true
  def clean do
    File.rm(manifest())
    File.rm(library())
    :ok
  end

  defp manifest, do: Path.join(Mix.Project.manifest_path(), "compile.zen_monitor_native")

  # The VM looks for .so on macOS as well.
  defp library, do: Path.join(Mix.Project.app_path(), "priv/native/zen_monitor_nif.so")

  # The modules that this compiler shares with `mix zen_monitor.library.pack` are part of the package, and are
  # compiled after this has run. So they are loaded from their sources here, and unloaded again before Elixir's
  # compiler runs, which would warn that they are defined already.
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

  # Where the library must come from (the digest of a file, `"built"`, or `nil` for any), and how to get it. A
  # packed library is read each time, so that one that does not fit is always reported.
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

  # Users get the locked versions that were tested. A developer may be about to change them.
  defp build! do
    locked = if Mix.env() == :dev, do: [], else: ["--locked"]
    locked |> Cargo.build!() |> File.read!()
  end

  # The file is renamed into its place, because a running VM may have the old one mapped, and would crash if it
  # were overwritten. The name has the OS pid, because an editor and a terminal may compile at the same time.
  defp install(content) do
    new = "#{library()}.#{System.pid()}"
    File.mkdir_p!(Path.dirname(new))
    File.write!(new, content)
    File.rename!(new, library())
  end
end
