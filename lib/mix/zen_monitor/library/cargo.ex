defmodule Mix.ZenMonitor.Library.Cargo do
  @moduledoc false
  # Builds the native library. Cargo runs in the root of the package.

  alias Mix.ZenMonitor.Library.Sources

  @crate "zen_monitor_nif"

  @doc """
  Builds the library and returns the path of its file.

  `command` is `build`, or the command of a plug-in that takes the same arguments. `args` are passed to Cargo.
  """
  @spec build!(String.t(), [String.t()]) :: Path.t()
  def build!(command \\ "build", args) do
    require_rust!()
    args = [command, "--release", "--package", @crate] ++ args

    # Cargo reports progress and errors on stderr, which goes to the terminal. Its messages on stdout tell
    # the path of the library, which depends on the user's settings.
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

  @doc "The version that `rustc` reports."
  @spec rustc_version() :: String.t()
  def rustc_version do
    {output, 0} = System.cmd("rustc", ["--version"])
    String.trim(output)
  end

  defp artifact!(messages) do
    [file] =
      for line <- String.split(messages, "\n"),
          line =~ ~s("reason":"compiler-artifact"),
          [_, file] <- [Regex.run(~r/"filenames":\["([^"]*lib#{@crate}\.(?:so|dylib))"/, line)],
          do: file

    file
  end

  defp require_rust! do
    floor = Sources.rust_version()
    for tool <- ["cargo", "rustc"], do: require_tool!(tool, floor)
  end

  defp require_tool!(tool, floor) do
    case System.find_executable(tool) && System.cmd(tool, ["--version"], stderr_to_stdout: true) do
      nil ->
        Mix.raise(
          "ZenMonitor needs Rust #{floor} or newer to build its native library, and `#{tool}` is " <>
            "not on the PATH: install Rust from https://rustup.rs and compile again, or name a " <>
            "library that is built already in ZEN_MONITOR_LIBRARY."
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

  defp version(text) do
    case Regex.run(~r/(\d+)\.(\d+)/, text) do
      [_, major, minor] -> {String.to_integer(major), String.to_integer(minor)}
      nil -> {0, 0}
    end
  end
end
