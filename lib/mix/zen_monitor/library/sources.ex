defmodule Mix.ZenMonitor.Library.Sources do
  @moduledoc false
  # The sources of the native library. All paths start at the root of the package, which is the current
  # directory when its compilers run.

  @files [
    "native/**/*.rs",
    "native/*/Cargo.toml",
    "Cargo.toml",
    "Cargo.lock",
    ".cargo/config.toml"
  ]

  @doc """
  A hash of the content of all sources, in hexadecimal digits.

  Modification times would not do: an upgraded package may bring files that are older than the last build, and a
  deleted file has no time at all.
  """
  @spec hash() :: String.t()
  def hash do
    files = Enum.flat_map(@files, &Path.wildcard(&1, match_dot: true))
    contents = for file <- Enum.sort(files), do: [file, 0, File.read!(file), 0]
    contents |> :erlang.md5() |> Base.encode16(case: :lower)
  end

  @doc "The oldest version of Rust that can build them, such as `1.91`."
  @spec rust_version() :: String.t()
  def rust_version do
    [_, version] = Regex.run(~r/^rust-version = "([\d.]+)"/m, File.read!("Cargo.toml"))
    version
  end

  @doc "The version of the VM's interface that the library is built for, such as `2.16`."
  @spec nif_version() :: String.t()
  def nif_version do
    manifest = File.read!("native/zen_monitor_nif/Cargo.toml")
    [_, major, minor] = Regex.run(~r/"nif_version_(\d+)_(\d+)"/, manifest)
    "#{major}.#{minor}"
  end
end
