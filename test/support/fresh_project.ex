defmodule ZenMonitor.FreshProject do
  @moduledoc false
  # A new Mix project that depends on this package by the files that it is published with.

  alias Mix.ZenMonitor.Library.Target

  @enforce_keys [:root, :package, :folder, :env]
  defstruct @enforce_keys

  @doc """
  Copies the package, once for all projects: Cargo would build what is copied again.

  It is always at the same place, because Cargo would keep what it built for every other one.
  """
  def copy_package do
    package = Path.join(root(), "zen_monitor")
    File.rm_rf!(package)

    for pattern <- Mix.Project.config()[:package][:files],
        path <- Path.wildcard(pattern, match_dot: true) do
      File.mkdir_p!(Path.join(package, Path.dirname(path)))
      File.cp_r!(path, Path.join(package, path))
    end

    package
  end

  @doc "Makes the project anew. Nothing of it is compiled."
  def new(package) do
    folder = Path.join(root(), "watcher")
    File.rm_rf!(folder)
    write_sources(folder, package)
    %__MODULE__{root: root(), package: package, folder: folder, env: clean_env(root())}
  end

  @doc "The project on a machine that has everything but Rust."
  def without_rust(project) do
    bin = Path.join(project.root, "without_rust")
    File.rm_rf!(bin)
    File.mkdir_p!(bin)

    # What comes first on the PATH is what is found, and later ones of its name are not linked.
    for folder <- String.split(System.get_env("PATH"), ":"),
        file <- Path.wildcard(folder <> "/*"),
        Path.basename(file) not in ["cargo", "rustc", "rustup"] do
      File.ln_s(file, Path.join(bin, Path.basename(file)))
    end

    env =
      for {name, value} <- project.env, not String.starts_with?(name, "CARGO"), do: {name, value}

    %{project | env: [{"PATH", bin} | env]}
  end

  @doc "Writes a file of the project."
  def write(project, file, content) do
    path = Path.join(project.folder, file)
    File.mkdir_p!(Path.dirname(path))
    File.write!(path, content)
  end

  @doc "What Mix prints, and its status."
  def mix(project, args, env \\ []), do: run(project, "mix", args, project.folder, env)

  @doc """
  Releases the project, and runs an expression in the release.

  The release is moved, and the project deleted, because it has to stand on its own.
  """
  def release(project, expression, env \\ []) do
    {_, 0} = mix(project, ["release"], [{"MIX_ENV", "prod"} | env])
    release = Path.join(project.root, "release")
    File.rm_rf!(release)
    File.rename!(Path.join(project.folder, "_build/prod/rel/watcher"), release)
    File.rm_rf!(project.folder)

    code = "{:ok, _} = Application.ensure_all_started(:zen_monitor); #{expression}"
    run(project, Path.join(release, "bin/watcher"), ["eval", code], project.root, [])
  end

  defp root, do: Path.join(Mix.Project.build_path(), "package_test")

  defp run(project, command, args, folder, env) do
    System.cmd(command, args, cd: folder, env: project.env ++ env, stderr_to_stdout: true)
  end

  # The child must not see what this run of `mix test` was told. What is packed is always built for a
  # named target; so is all else, or it would be built a second time.
  defp clean_env(root) do
    inherited =
      for {name, _} <- System.get_env(),
          name in ["ERL_FLAGS", "ERL_AFLAGS", "ERL_ZFLAGS"] or
            String.starts_with?(name, ["MIX_", "RELEASE_", "ZEN_MONITOR_"]),
          do: {name, nil}

    [
      {"CARGO_TARGET_DIR", Path.join(root, "target")},
      {"CARGO_BUILD_TARGET", Target.wanted()} | inherited
    ]
  end

  defp write_sources(folder, package) do
    File.mkdir_p!(Path.join(folder, "lib"))

    File.write!(Path.join(folder, "mix.exs"), """
    defmodule Watcher.MixProject do
      use Mix.Project

      def project do
        [app: :watcher, version: "0.1.0", deps: [{:zen_monitor, path: #{inspect(package)}}]]
      end
    end
    """)

    File.write!(Path.join(folder, "lib/watcher.ex"), """
    defmodule Watcher do
      def watch do
        pid = spawn(fn -> Process.sleep(:infinity) end)
        ref = ZenMonitor.monitor(pid)
        wait_until_watched(pid, 1_000)
        Process.exit(pid, :kill)

        receive do
          {:DOWN, ^ref, :process, ^pid, reason} -> IO.puts("down: " <> inspect(reason))
        after
          10_000 -> IO.puts("no :DOWN after 10 s")
        end
      end

      # Only the Proxy, or a holder of its, might watch it.
      defp wait_until_watched(pid, attempts) when attempts > 0 do
        with {:monitored_by, []} <- Process.info(pid, :monitored_by) do
          Process.sleep(10)
          wait_until_watched(pid, attempts - 1)
        end
      end
    end
    """)
  end
end
