defmodule ZenMonitor.CompilerTest do
  # The compiler works in the current directory and looks for its tools on the PATH, and both belong
  # to the whole VM.
  use ExUnit.Case, async: false

  import ExUnit.CaptureIO

  alias Mix.Tasks.Compile.ZenMonitorNative
  alias Mix.ZenMonitor.Library.{Archive, Checksums, Manifest, Sources, Target}

  @variables ["ZEN_MONITOR_LIBRARY", "ZEN_MONITOR_BUILD", "CARGO_BUILD_TARGET"]

  setup do
    variables = Map.new(["PATH" | @variables], &{&1, System.get_env(&1)})
    Enum.each(@variables, &System.delete_env/1)
    root = Path.join(System.tmp_dir!(), "zen_monitor_compiler_#{System.pid()}")
    project = Path.join(root, "project")
    bin = Path.join(root, "bin")
    path = System.get_env("PATH")

    on_exit(fn ->
      System.put_env(variables)
      Application.delete_env(:zen_monitor, :library)
      File.rm_rf!(root)
    end)

    for directory <- [
          bin,
          "#{project}/.cargo",
          "#{project}/native/crate/src",
          "#{project}/native/zen_monitor_nif"
        ] do
      File.mkdir_p!(directory)
    end

    for {file, content} <- %{
          "mix.exs" => """
          defmodule ZenMonitor.CompilerTest.Fixture do
            use Mix.Project
            def project, do: [app: :fixture, version: "0.1.0"]
          end
          """,
          "Cargo.toml" => ~s([workspace.package]\nrust-version = "1.91"\n),
          "Cargo.lock" => "",
          ".cargo/config.toml" => "",
          "native/crate/Cargo.toml" => "",
          "native/crate/src/lib.rs" => "",
          "native/crate/src/extra.rs" => "",
          "native/zen_monitor_nif/Cargo.toml" => ~s(features = ["nif_version_2_16"]\n),
          "libzen_monitor_nif.so" => "first"
        } do
      File.write!(Path.join(project, file), content)
    end

    Code.put_compiler_option(:ignore_module_conflict, true)
    on_exit(fn -> Code.put_compiler_option(:ignore_module_conflict, false) end)

    context = %{project: project, bin: bin, path: path}
    tool(context, "rustc", ~s{echo "rustc 1.91.0 (fake)"})
    cargo(context, "libzen_monitor_nif.so")
    System.put_env("PATH", bin <> ":" <> path)
    context
  end

  test "builds once", context do
    assert compile(context) == {:ok, []}
    assert File.read!(library(context)) == "first"
    assert compile(context) == {:noop, []}
    assert compile(context, ["--force"]) == {:ok, []}
  end

  test "builds with the locked versions", context do
    compile(context)

    assert File.read!(context.bin <> "/log") ==
             "build --release --package zen_monitor_nif --locked " <>
               "--message-format=json-render-diagnostics\n"
  end

  test "builds again when a source appears, changes or disappears", context do
    compile(context)

    for file <- [
          "Cargo.toml",
          "Cargo.lock",
          ".cargo/config.toml",
          "native/crate/Cargo.toml",
          "native/crate/src/lib.rs",
          "native/crate/src/deep/new.rs"
        ] do
      path = Path.join(context.project, file)
      File.mkdir_p!(Path.dirname(path))
      File.write!(path, "\n# changed", [:append])
      assert {file, compile(context)} == {file, {:ok, []}}
      assert {file, compile(context)} == {file, {:noop, []}}
    end

    File.rm!(Path.join(context.project, "native/crate/src/extra.rs"))
    assert compile(context) == {:ok, []}
    assert compile(context) == {:noop, []}
  end

  test "does not mind files that are no sources", context do
    compile(context)
    File.write!(Path.join(context.project, "native/crate/README.md"), "words")
    assert compile(context) == {:noop, []}
  end

  test "builds again after `mix clean`, and when the library is gone", context do
    compile(context)
    within(context, &ZenMonitorNative.clean/0)
    refute File.exists?(library(context))
    assert compile(context) == {:ok, []}
    File.rm!(library(context))
    assert compile(context) == {:ok, []}
  end

  test "lists its manifest", context do
    compile(context)
    assert [manifest] = within(context, &ZenMonitorNative.manifests/0)
    assert File.exists?(manifest)
  end

  test "replaces a library that may be in use rather than write into it", context do
    compile(context)
    {:ok, in_use} = File.open(library(context))
    File.write!(Path.join(context.project, "libzen_monitor_nif.so"), "second")
    compile(context, ["--force"])
    assert IO.read(in_use, :eof) == "first"
    assert File.read!(library(context)) == "second"
  end

  test "gives Apple's library the name that the VM expects", context do
    File.write!(Path.join(context.project, "libzen_monitor_nif.dylib"), "apple")
    cargo(context, "libzen_monitor_nif.dylib")
    compile(context)
    assert Path.basename(library(context)) == "zen_monitor_nif.so"
    assert File.read!(library(context)) == "apple"
  end

  test "says what to install when Cargo is missing", context do
    System.put_env("PATH", "/nonexistent")

    assert failure(context) ==
             "ZenMonitor needs Rust 1.91 or newer to build its native library, and `cargo` is " <>
               "not on the PATH: install Rust from https://rustup.rs and compile again, or name a " <>
               "library that is built already in ZEN_MONITOR_LIBRARY."
  end

  test "says what to install when Cargo or Rust is too old", context do
    for tool <- ["rustc", "cargo"] do
      tool(context, tool, ~s(echo "#{tool} 1.63.0"))

      assert failure(context) ==
               "ZenMonitor needs Rust 1.91 or newer to build its native library, and " <>
                 "`#{tool} --version` says \"#{tool} 1.63.0\": run `rustup update`, or " <>
                 "install Rust from https://rustup.rs, and compile again."
    end
  end

  test "fails when Cargo does, and tries again the next time", context do
    tool(context, "cargo", ~s([ "$1" = --version ] && echo "cargo 1.91.0" || exit 101))
    assert failure(context) =~ "exited with status 101"
    assert failure(context) =~ "cargo build --release"
    cargo(context, "libzen_monitor_nif.so")
    assert compile(context) == {:ok, []}
  end

  describe "a prebuilt library" do
    # The PATH is empty, so any call of Cargo or Rust fails.
    setup context do
      System.put_env("PATH", "/nonexistent")
      System.put_env("ZEN_MONITOR_LIBRARY", pack(context, "prebuilt"))
      :ok
    end

    test "is taken once from a tarball", context do
      assert compile(context) == {:ok, []}
      assert File.read!(library(context)) == "prebuilt"
      assert compile(context) == {:noop, []}
      assert compile(context, ["--force"]) == {:ok, []}
      assert File.read!(library(context)) == "prebuilt"
    end

    test "is taken from a folder of them", context do
      pack(context, "other", %{target: "sparc64-unknown-linux-gnu"})
      System.put_env("ZEN_MONITOR_LIBRARY", context.project <> "/packed")
      assert compile(context) == {:ok, []}
      assert File.read!(library(context)) == "prebuilt"
    end

    test "is taken from a bare file beside its manifest", context do
      so = unpack(context)
      System.put_env("ZEN_MONITOR_LIBRARY", so)
      assert compile(context) == {:ok, []}
      assert File.read!(library(context)) == "prebuilt"
      File.write!(so, "damaged")
      assert failure(context) =~ "the library has the checksum #{Checksums.digest("damaged")}"
      File.rm!(Path.rootname(so) <> ".manifest")
      assert failure(context) =~ ".manifest is expected beside it: unpack both from the tarball"
    end

    test "is named by the configuration, from the root of the project", context do
      System.put_env("ZEN_MONITOR_LIBRARY", "")
      Application.put_env(:zen_monitor, :library, "packed")
      assert compile(context) == {:ok, []}
      assert File.read!(library(context)) == "prebuilt"

      Application.put_env(:zen_monitor, :library, "elsewhere")
      assert failure(context) =~ "which config :zen_monitor, library: … names"

      Application.put_env(:zen_monitor, :library, {:priv, "packed"})

      assert failure(context) ==
               "config :zen_monitor, library: … must be a path in a string, got: {:priv, \"packed\"}"
    end

    test "of the environment comes before that of the configuration", context do
      Application.put_env(:zen_monitor, :library, "elsewhere")
      assert compile(context) == {:ok, []}
    end

    test "is taken again when it is another one, and when it is gone", context do
      compile(context)
      pack(context, "anew")
      assert compile(context) == {:ok, []}
      assert File.read!(library(context)) == "anew"
      File.rm!(library(context))
      assert compile(context) == {:ok, []}
    end

    test "stays as long as the sources do when none is named any more", context do
      compile(context)
      System.delete_env("ZEN_MONITOR_LIBRARY")
      assert compile(context) == {:noop, []}
      File.write!(context.project <> "/native/crate/src/lib.rs", "// changed")
      assert failure(context) =~ "`cargo` is not on the PATH"
    end

    test "gives way to a build, and takes its place again, when told", context do
      compile(context)
      System.put_env("PATH", context.bin <> ":" <> context.path)
      System.put_env("ZEN_MONITOR_BUILD", "1")
      assert compile(context) == {:ok, []}
      assert File.read!(library(context)) == "first"
      assert compile(context) == {:noop, []}
      System.delete_env("ZEN_MONITOR_BUILD")
      assert compile(context) == {:ok, []}
      assert File.read!(library(context)) == "prebuilt"
    end

    test "for another machine is taken when this build is for that", context do
      pack(context, "other", %{target: "sparc64-unknown-linux-gnu"})
      System.put_env("ZEN_MONITOR_LIBRARY", "packed")
      System.put_env("CARGO_BUILD_TARGET", "sparc64-unknown-linux-gnu")
      assert compile(context) == {:ok, []}
      assert File.read!(library(context)) == "other"
    end

    test "that does not fit is never replaced by a build", context do
      System.put_env("PATH", context.bin <> ":" <> context.path)

      for {field, found, expected} <- [
            {:target, "sparc64-unknown-linux-gnu", Target.wanted()},
            {:package, "0.2.0", "0.1.0"},
            {:nif, "2.17", "2.16"},
            {:sources, "0123", within(context, &Sources.hash/0)}
          ] do
        path = pack(context, "unfit", %{field => found})
        System.put_env("ZEN_MONITOR_LIBRARY", path)
        message = failure(context)

        assert message =~
                 "ZenMonitor cannot take the native library #{path}, which ZEN_MONITOR_LIBRARY names: it is"

        assert message =~ found
        assert message =~ expected
        assert message =~ "To build the library here, with Rust, set ZEN_MONITOR_BUILD=1."
        refute File.exists?(library(context))
      end
    end

    test "that does not fit leaves the former one alone", context do
      compile(context)
      System.put_env("ZEN_MONITOR_LIBRARY", pack(context, "unfit", %{package: "0.2.0"}))
      assert failure(context) =~ "it is of zen_monitor 0.2.0, and 0.1.0 is expected"
      assert File.read!(library(context)) == "prebuilt"
    end

    test "that is damaged is refused", context do
      path = pack(context, "prebuilt")
      File.write!(path, path |> File.read!() |> binary_part(0, 100))
      assert failure(context) =~ "it is damaged, or no tarball: get it again"
      # An undamaged tarball, of a library that was changed before it was packed.
      pack(context, "changed", %{library: Checksums.digest("prebuilt")})
      assert failure(context) =~ "and its manifest expects #{Checksums.digest("prebuilt")}"
    end

    test "that is not there is refused", context do
      System.put_env("ZEN_MONITOR_LIBRARY", "missing.tar.gz")
      assert failure(context) =~ "#{context.project}/missing.tar.gz, which"
      assert failure(context) =~ "there is no such file or folder"

      other = pack(context, "other", %{target: "sparc64-unknown-linux-gnu"})
      File.rm!(pack(context, "prebuilt"))
      System.put_env("ZEN_MONITOR_LIBRARY", Path.dirname(other))

      assert failure(context) =~
               "zen_monitor_nif-0.1.0-nif-2.16-#{Target.wanted()}.tar.gz is expected in that " <>
                 "folder, which has #{Path.basename(other)}"

      File.rm!(other)
      assert failure(context) =~ "which has no tarball: get it"
    end

    test "is held against the checksum file of the project", context do
      path = pack(context, "prebuilt")
      digest = Checksums.digest(File.read!(path))
      file = context.project <> "/checksum-Elixir.ZenMonitor.Native.exs"

      File.write!(file, "%{#{Checksums.entry(Path.basename(path), digest)}}")
      assert compile(context) == {:ok, []}

      pack(context, "forged")
      assert failure(context) =~ "#{file} expects #{digest} for #{Path.basename(path)}"
      assert File.read!(library(context)) == "prebuilt"
    end
  end

  # Packs a library that fits this project. `other` has the fields of its manifest that shall differ.
  defp pack(context, library, other \\ %{}) do
    manifest =
      struct!(
        %Manifest{
          package: "0.1.0",
          sources: within(context, &Sources.hash/0),
          target: Target.wanted(),
          nif: "2.16",
          rustc: "rustc 1.91.0 (fake)",
          library: Checksums.digest(library)
        },
        other
      )

    path = "#{context.project}/packed/#{Manifest.name(manifest)}.tar.gz"
    File.mkdir_p!(Path.dirname(path))
    File.write!(path, Archive.pack(manifest, library))
    path
  end

  # Returns the path of the library.
  defp unpack(context) do
    path = pack(context, "prebuilt")
    :ok = :erl_tar.extract(path, [:compressed, cwd: Path.dirname(path)])
    String.replace_suffix(path, ".tar.gz", ".so")
  end

  defp tool(context, name, script) do
    path = Path.join(context.bin, name)
    File.write!(path, "#!/bin/sh\n#{script}\n")
    File.chmod!(path, 0o755)
  end

  defp cargo(context, library) do
    tool(context, "cargo", """
    if [ "$1" = --version ]; then echo "cargo 1.91.0 (fake)"; exit; fi
    echo "$@" >> #{context.bin}/log
    echo '{"reason":"compiler-artifact","filenames":["/other/libother.rlib"]}'
    echo '{"reason":"compiler-artifact","filenames":["#{context.project}/#{library}"]}'
    echo '{"reason":"build-finished","success":true}'
    """)
  end

  defp library(context) do
    Path.join(context.project, "_build/test/lib/fixture/priv/native/zen_monitor_nif.so")
  end

  defp compile(context, args \\ []), do: within(context, fn -> ZenMonitorNative.run(args) end)

  defp within(context, fun) do
    Mix.Project.in_project(:fixture, context.project, fn _ -> fun.() end)
  end

  defp failure(context) do
    capture_io(:stderr, fn ->
      send(self(), {:failure, assert_raise(Mix.Error, fn -> compile(context) end)})
    end)

    assert_received {:failure, error}
    error.message
  end
end
