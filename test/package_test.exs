defmodule ZenMonitor.PackageTest do
  # Uses the package as its users do: from the files that it is published with, as a dependency of a
  # new project, compiled and as a release.
  use ExUnit.Case, async: false

  @moduletag timeout: :timer.minutes(10)

  # Always at the same place, because Cargo would keep what it built for every other one.
  setup_all do
    root = Path.join(Mix.Project.build_path(), "package_test")
    package = Path.join(root, "zen_monitor")
    File.rm_rf!(package)
    copy_package(package)
    %{root: root, package: package}
  end

  setup %{root: root, package: package} do
    project = Path.join(root, "watcher")
    File.rm_rf!(project)
    File.mkdir_p!(Path.join(project, "lib"))

    File.write!(Path.join(project, "mix.exs"), """
    defmodule Watcher.MixProject do
      use Mix.Project

      def project do
        [app: :watcher, version: "0.1.0", deps: [{:zen_monitor, path: #{inspect(package)}}]]
      end
    end
    """)

    File.write!(Path.join(project, "lib/watcher.ex"), """
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

      # The Proxy is the only one who might watch it.
      defp wait_until_watched(pid, attempts) when attempts > 0 do
        with {:monitored_by, []} <- Process.info(pid, :monitored_by) do
          Process.sleep(10)
          wait_until_watched(pid, attempts - 1)
        end
      end
    end
    """)

    %{project: project, env: clean_env(root)}
  end

  test "compiles without a warning, starts, and receives a :DOWN", context do
    assert mix(context, ~w(compile --warnings-as-errors)) =~ "Generated zen_monitor app"
    assert mix(context, ["run", "-e", "Watcher.watch()"]) =~ "down: {:zen_monitor, :killed}"
    # Nothing is left to do, neither for Cargo nor for Elixir.
    assert mix(context, ~w(compile)) == ""
  end

  test "shows its demonstration in the project that depends on it", context do
    output = mix(context, ~w(zen_monitor.demo --processes 100 --output report.html))
    assert output =~ "100 :DOWN messages"
    assert File.read!(Path.join(context.project, "report.html")) =~ ~s(<figure id="messages-zen">)
  end

  test "finds the native library in its release", context do
    mix(context, ~w(release), [{"MIX_ENV", "prod"}])
    # The release has to stand on its own.
    release = Path.join(context.root, "release")
    File.rm_rf!(release)
    File.rename!(Path.join(context.project, "_build/prod/rel/watcher"), release)
    File.rm_rf!(context.project)

    code = "{:ok, _} = Application.ensure_all_started(:zen_monitor); Watcher.watch()"
    output = run(Path.join(release, "bin/watcher"), ["eval", code], context.root, context.env)
    assert output =~ "down: {:zen_monitor, :killed}"
  end

  defp copy_package(to) do
    for pattern <- Mix.Project.config()[:package][:files],
        path <- Path.wildcard(pattern, match_dot: true) do
      File.mkdir_p!(Path.join(to, Path.dirname(path)))
      File.cp_r!(path, Path.join(to, path))
    end
  end

  # The child must not see what this run of `mix test` was told.
  defp clean_env(root) do
    inherited =
      for {name, _} <- System.get_env(),
          name in ["ERL_FLAGS", "ERL_AFLAGS", "ERL_ZFLAGS"] or
            String.starts_with?(name, ["MIX_", "RELEASE_"]),
          do: {name, nil}

    inherited ++ [{"CARGO_TARGET_DIR", Path.join(root, "target")}]
  end

  defp mix(context, args, env \\ []) do
    output = run("mix", args, context.project, context.env ++ env)
    refute output =~ "warning:", output
    output
  end

  defp run(command, args, directory, env) do
    {output, status} = System.cmd(command, args, cd: directory, env: env, stderr_to_stdout: true)
    assert status == 0, "#{command} #{Enum.join(args, " ")} failed:\n" <> output
    output
  end
end
