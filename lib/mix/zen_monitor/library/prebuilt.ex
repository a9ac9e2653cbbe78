defmodule Mix.ZenMonitor.Library.Prebuilt do
  @moduledoc false
  # A packed library that is used in place of a build. A library that does not fit is an error, and nothing is
  # built in its place.

  alias Mix.ZenMonitor.Library.{Archive, Checksums, Manifest}

  @variable "ZEN_MONITOR_LIBRARY"

  @typedoc "Where to look, and which setting says so."
  @type location :: {Path.t(), said_by :: String.t()}

  @doc "Where to look, or `nil` if the user has not set it."
  @spec location() :: location | nil
  def location do
    case {System.get_env(@variable, ""), Application.get_env(:zen_monitor, :library)} do
      {"", nil} -> nil
      {"", path} when is_binary(path) -> {expand(path), "config :zen_monitor, library: …"}
      {"", other} -> Mix.raise(no_path(other))
      {path, _} -> {expand(path), @variable}
    end
  end

  @doc """
  The library at a location, and the digest of the file that it comes from.

  Raises unless the library is undamaged and fits.
  """
  @spec read!(location, Manifest.expected()) :: {library :: binary, digest :: String.t()}
  def read!({path, said_by}, expected) do
    with {:ok, file} <- find(path, Manifest.name(expected)),
         {:ok, bytes} <- read(file),
         digest = Checksums.digest(bytes),
         :ok <- Checksums.check(project(), Path.basename(file), digest),
         {:ok, text, library} <- unpack(file, bytes),
         {:ok, manifest} <- Manifest.decode(text),
         :ok <- Manifest.check(manifest, expected),
         :ok <- whole(library, manifest) do
      {library, digest}
    else
      {:error, sentence} ->
        Mix.raise(
          "ZenMonitor cannot take the native library #{path}, which #{said_by} names: " <>
            "#{sentence}. To build the library here, with Rust, set ZEN_MONITOR_BUILD=1."
        )
    end
  end

  # A dependency is compiled in its own folder, but a relative path counts from the root of the project.
  defp expand(path), do: Path.expand(path, project())

  defp project, do: Path.dirname(Mix.Project.deps_path())

  defp no_path(other) do
    "config :zen_monitor, library: … must be a path in a string, got: #{inspect(other)}"
  end

  defp find(path, name) do
    cond do
      File.dir?(path) -> find_in(path, name <> ".tar.gz")
      File.exists?(path) -> {:ok, path}
      true -> {:error, "there is no such file or folder: check the path, or get the library"}
    end
  end

  defp find_in(folder, name) do
    file = Path.join(folder, name)

    if File.exists?(file) do
      {:ok, file}
    else
      {:error, "#{name} is expected in that folder, which has #{tarballs(folder)}: get it"}
    end
  end

  defp tarballs(folder) do
    case folder |> Path.join("*.tar.gz") |> Path.wildcard() |> Enum.map(&Path.basename/1) do
      [] -> "no tarball"
      names -> Enum.join(names, ", ")
    end
  end

  defp read(file) do
    with {:error, reason} <- File.read(file) do
      {:error, "#{file} cannot be read: #{:file.format_error(reason)}"}
    end
  end

  # An unpacked library is expected beside its manifest.
  defp unpack(file, bytes) do
    if Path.extname(file) == ".so" do
      manifest = Path.rootname(file) <> ".manifest"

      case File.read(manifest) do
        {:ok, text} -> {:ok, text, bytes}
        {:error, _} -> {:error, "#{manifest} is expected beside it: unpack both from the tarball"}
      end
    else
      Archive.unpack(bytes)
    end
  end

  defp whole(library, manifest) do
    case Checksums.digest(library) do
      digest when digest == manifest.library ->
        :ok

      digest ->
        {:error,
         "the library has the checksum #{digest}, and its manifest expects #{manifest.library}: " <>
           "it is damaged, get it again"}
    end
  end
end
