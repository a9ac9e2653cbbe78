defmodule Mix.Tasks.ZenMonitor.Library.Pack do
  @shortdoc "Packs the native library for machines without Rust"

  @moduledoc """
  Builds the native library and packs it for machines without Rust.

      $ mix zen_monitor.library.pack

  Writes `zen_monitor_nif-VERSION-nif-2.16-TARGET.tar.gz`, with the library and a manifest that says from
  which sources and for which machine it was built. Prints the SHA-256 of the tarball as a line for
  `checksum-Elixir.ZenMonitor.Native.exs`. The same sources, target and tools give the same file.

  It works in this package and in every project that depends on it. To compile the package without Rust, name
  the tarball, or the folder that it is in, in `ZEN_MONITOR_LIBRARY` or as `config :zen_monitor, library: path`.

  ## Options

    * `--target` - the machine that the library is for, by its name in Rust, such as
      `aarch64-unknown-linux-gnu`. The default is `CARGO_BUILD_TARGET`, or else the machine that this runs on.
      For another machine you need `rustup target add TARGET` and a linker, as for every program in Rust
    * `--glibc` - the oldest version of the GNU C library that it has to run with, such as `2.17`. This
      needs `cargo-zigbuild`. The default is the version of the linker
    * `--output` - the folder for the tarball. The default is the current one
  """

  use Mix.Task

  alias Mix.ZenMonitor.Library.{Archive, Cargo, Checksums, Manifest, Sources, Target}

  @switches [target: :string, glibc: :string, output: :string]

  @impl Mix.Task
  def run(args) do
    {options, rest, invalid} = OptionParser.parse(args, strict: @switches)

    unless rest == [] and invalid == [] do
      Mix.raise(
        "expected no arguments but --target TARGET, --glibc VERSION and --output FOLDER, " <>
          "got: #{Enum.join(args, " ")}"
      )
    end

    target = options[:target] || Target.wanted()
    output = Path.expand(options[:output] || ".")
    {manifest, library} = in_package(fn -> build(target, options[:glibc]) end)
    tarball = Archive.pack(manifest, library)
    name = Manifest.name(manifest) <> ".tar.gz"

    File.mkdir_p!(output)
    File.write!(Path.join(output, name), tarball)
    Mix.shell().info("#{Path.relative_to_cwd(Path.join(output, name))} is packed:")
    Mix.shell().info(Checksums.entry(name, Checksums.digest(tarball)))
  end

  # Cargo and the paths of the sources need the root of the package.
  defp in_package(fun) do
    if Mix.Project.config()[:app] == :zen_monitor do
      fun.()
    else
      path = Map.fetch!(Mix.Project.deps_paths(), :zen_monitor)
      Mix.Project.in_project(:zen_monitor, path, fn _ -> fun.() end)
    end
  end

  # The versions are locked, so that others get what was tested.
  defp build(target, glibc) do
    {command, cargo_target} =
      if glibc, do: {"zigbuild", "#{target}.#{glibc}"}, else: {"build", target}

    library = File.read!(Cargo.build!(command, ["--locked", "--target", cargo_target]))

    manifest = %Manifest{
      package: Mix.Project.config()[:version],
      sources: Sources.hash(),
      target: target,
      nif: Sources.nif_version(),
      rustc: Cargo.rustc_version(),
      library: Checksums.digest(library)
    }

    {manifest, library}
  end
end
