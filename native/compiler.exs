defmodule Mix.Tasks.Compile.ZenMonitorNative do
  @moduledoc """
  Builds the NIF library of ZenMonitor with Cargo.

  Cargo runs in the root of the package, so its own settings (`CARGO_TARGET_DIR`,
  `CARGO_BUILD_TARGET`, `.cargo/config.toml`) apply. The library goes to the `priv/native` of the
  build path rather than of the sources: environments and projects that share one checkout do not
  overwrite each other's, and releases take it from there.
  """
  use Mix.Task.Compiler

  @recursive true

  @crate "zen_monitor_nif"
  @sources [
    "native/**/*.rs",
    "native/*/Cargo.toml",
    "Cargo.toml",
    "Cargo.lock",
    ".cargo/config.toml"
  ]

  @impl true
  def run(args) do
    fingerprint = fingerprint()

    if "--force" in args or stale?(fingerprint) do
      require_rust!()
      install(build!())
      File.mkdir_p!(Path.dirname(manifest()))
      File.write!(manifest(), fingerprint)
      {:ok, []}
    else
      {:noop, []}
    end
  end

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
  defp library, do: Path.join(Mix.Project.app_path(), "priv/native/#{@crate}.so")

  defp stale?(fingerprint) do
    not File.regular?(library()) or File.read(manifest()) != {:ok, fingerprint}
  end

  # Content rather than modification times: an upgraded package may bring files that are older than
  # the last build, and a deleted file has no time at all.
  defp fingerprint do
    files = Enum.flat_map(@sources, &Path.wildcard(&1, match_dot: true))
    contents = for file <- Enum.sort(files), do: [file, 0, File.read!(file), 0]
    :erlang.md5(contents)
  end

  defp build! do
    # What users get is what was tested; only a developer may be in the middle of changing it.
    locked = if Mix.env() == :dev, do: [], else: ["--locked"]
    args = ["build", "--release", "--package", @crate] ++ locked

    # Cargo reports progress and errors on stderr, which passes through to the terminal. Its
    # messages on stdout say where the library is, which depends on the user's settings.
    case System.cmd("cargo", args ++ ["--message-format=json-render-diagnostics"]) do
      {messages, 0} ->
        artifact!(messages)

      {_, status} ->
        Mix.raise(
          "Could not build the native library of ZenMonitor: `cargo #{Enum.join(args, " ")}` " <>
            "in #{File.cwd!()} exited with status #{status} after the messages above."
        )
    end
  end

  defp artifact!(messages) do
    [file] =
      for line <- String.split(messages, "\n"),
          line =~ ~s("reason":"compiler-artifact"),
          [_, file] <- [Regex.run(~r/"filenames":\["([^"]*lib#{@crate}\.(?:so|dylib))"/, line)],
          do: file

    file
  end

  # Renamed into place: a running VM may have the old file mapped, and would crash were it
  # overwritten. Two of them, an editor's and a terminal's, may compile at the same time.
  defp install(artifact) do
    new = "#{library()}.#{System.pid()}"
    File.mkdir_p!(Path.dirname(new))
    File.cp!(artifact, new)
    File.rename!(new, library())
  end

  defp require_rust! do
    floor = floor!()
    for tool <- ["cargo", "rustc"], do: require_tool!(tool, floor)
  end

  defp require_tool!(tool, floor) do
    case System.find_executable(tool) && System.cmd(tool, ["--version"], stderr_to_stdout: true) do
      nil ->
        Mix.raise(
          "ZenMonitor needs Rust #{floor} or newer to build its native library, and `#{tool}` is " <>
            "not on the PATH: install Rust from https://rustup.rs and compile again."
        )

      {output, _} ->
        if version(output) < version(floor) do
          Mix.raise(
            "ZenMonitor needs Rust #{floor} or newer to build its native library, and " <>
              "`#{tool} --version` says #{inspect(String.trim(output))}: run `rustup update`, or " <>
              "install Rust from https://rustup.rs, and compile again."
          )
        end
    end
  end

  defp floor! do
    [_, floor] = Regex.run(~r/^rust-version = "([\d.]+)"/m, File.read!("Cargo.toml"))
    floor
  end

  defp version(text) do
    case Regex.run(~r/(\d+)\.(\d+)/, text) do
      [_, major, minor] -> {String.to_integer(major), String.to_integer(minor)}
      nil -> {0, 0}
    end
  end
end
