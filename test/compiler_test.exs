defmodule ZenMonitor.CompilerTest do
  # The compiler works in the current directory and looks for its tools on the PATH, and both belong
  # to the whole VM.
  use ExUnit.Case, async: false

  import ExUnit.CaptureIO

  alias Mix.Tasks.Compile.ZenMonitorNative

  setup do
    root = Path.join(System.tmp_dir!(), "zen_monitor_compiler_#{System.pid()}")
    project = Path.join(root, "project")
    bin = Path.join(root, "bin")
    path = System.get_env("PATH")

    on_exit(fn ->
      System.put_env("PATH", path)
      File.rm_rf!(root)
    end)

    for directory <- [bin, "#{project}/.cargo", "#{project}/native/crate/src"] do
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
               "not on the PATH: install Rust from https://rustup.rs and compile again."
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
