defmodule ZenMonitor.PackageTest do
  # Uses the package as its users do: from the files that it is published with, as a dependency of a
  # new project, compiled and as a release, with the native library built there or brought along.
  use ExUnit.Case, async: false

  alias Mix.ZenMonitor.Library.{Archive, Checksums, Manifest, Sources}
  alias ZenMonitor.FreshProject

  @moduletag timeout: :timer.minutes(10)

  setup_all do: %{package: FreshProject.copy_package()}
  setup %{package: package}, do: %{project: FreshProject.new(package)}

  test "has the sources of this checkout, so what is packed here fits there", %{project: project} do
    assert File.cd!(project.package, &Sources.hash/0) == Sources.hash()
  end

  describe "with Rust" do
    test "compiles without a warning, starts, and receives a :DOWN", %{project: project} do
      assert mix(project, ~w(compile --warnings-as-errors)) =~ "Generated zen_monitor app"
      assert mix(project, ["run", "-e", "Watcher.watch()"]) =~ "down: {:zen_monitor, :killed}"
      # Nothing is left to do, neither for Cargo nor for Elixir.
      assert mix(project, ~w(compile)) == ""
    end

    test "shows its demonstration in the project that depends on it", %{project: project} do
      output = mix(project, ~w(zen_monitor.demo --processes 100 --output report.html))
      assert output =~ "100 :DOWN messages"

      assert File.read!(Path.join(project.folder, "report.html")) =~
               ~s(<figure id="messages-zen">)
    end

    test "finds the native library in its release", %{project: project} do
      assert {"down: {:zen_monitor, :killed}\n", 0} =
               FreshProject.release(project, "Watcher.watch()")
    end
  end

  describe "without Rust" do
    # Packed with Rust, by the project that depends on the package.
    setup %{project: project} do
      folder = Path.join(project.root, "libraries")
      File.rm_rf!(folder)
      output = mix(project, ["zen_monitor.library.pack", "--output", folder])
      assert [tarball] = Path.wildcard(folder <> "/*")
      name = Path.basename(tarball)

      assert output =~
               "\n" <> Checksums.entry(name, Checksums.digest(File.read!(tarball))) <> "\n"

      File.rm_rf!(Path.join(project.folder, "_build"))
      %{project: FreshProject.without_rust(project), tarball: tarball}
    end

    test "compiles, starts, receives a :DOWN, and is released", context do
      env = [{"ZEN_MONITOR_LIBRARY", context.tarball}]
      output = mix(context.project, ~w(compile --warnings-as-errors), env)
      assert output =~ "Generated zen_monitor app"

      watch = ["run", "-e", "Watcher.watch()"]
      assert mix(context.project, watch, env) =~ "down: {:zen_monitor, :killed}"
      assert mix(context.project, ~w(compile), env) == ""

      assert {"down: {:zen_monitor, :killed}\n", 0} =
               FreshProject.release(context.project, "Watcher.watch()", env)
    end

    test "takes it from where the configuration says, against the checksum file", context do
      name = Path.basename(context.tarball)
      bytes = File.read!(context.tarball)
      line = Checksums.entry(name, Checksums.digest(bytes))
      FreshProject.write(context.project, "vendor/#{name}", bytes)

      FreshProject.write(
        context.project,
        "config/config.exs",
        ~s(import Config\nconfig :zen_monitor, library: "vendor"\n)
      )

      checksums = "checksum-Elixir.ZenMonitor.Native.exs"
      FreshProject.write(context.project, checksums, "%{}\n")
      assert failure(context.project) =~ "if you trust it, add the line #{line}"
      FreshProject.write(context.project, checksums, "%{\n  #{line}\n}\n")
      watch = ["run", "-e", "Watcher.watch()"]
      assert mix(context.project, watch) =~ "down: {:zen_monitor, :killed}"
    end

    test "says what to do when there is no library, or one that does not fit", context do
      assert failure(context.project) =~ "`cargo` is not on the PATH"

      {:ok, text, library} = Archive.unpack(File.read!(context.tarball))
      {:ok, manifest} = Manifest.decode(text)
      unfit = Path.join(context.project.folder, "unfit.tar.gz")
      env = [{"ZEN_MONITOR_LIBRARY", "unfit.tar.gz"}]

      assert failure(context.project, env) =~
               "#{unfit}, which ZEN_MONITOR_LIBRARY names: there is no"

      for {content, sentence} <- [
            {Archive.pack(%{manifest | target: "sparc64-unknown-linux-gnu"}, library),
             "it is built for sparc64-unknown-linux-gnu, and #{manifest.target} is expected"},
            {Archive.pack(%{manifest | package: "2.9.9"}, library),
             "it is of zen_monitor 2.9.9, and #{manifest.package} is expected"},
            {context.tarball |> File.read!() |> binary_part(0, 1_000), "it is damaged"}
          ] do
        File.write!(unfit, content)
        assert failure(context.project, env) =~ sentence
      end
    end
  end

  defp mix(project, args, env \\ []) do
    {output, status} = FreshProject.mix(project, args, env)
    assert status == 0, "mix #{Enum.join(args, " ")} failed:\n" <> output
    refute output =~ "warning:", output
    output
  end

  defp failure(project, env \\ []) do
    assert {output, 1} = FreshProject.mix(project, ["compile"], env)
    output
  end
end
