defmodule Mix.ZenMonitor.Library.Archive do
  @moduledoc false
  # A packed library: a gzipped tarball of the library and of its manifest, both under the same name.

  alias Mix.ZenMonitor.Library.Manifest

  @doc "The bytes of the tarball. They depend on nothing but the library and its manifest."
  @spec pack(Manifest.t(), binary) :: binary
  def pack(manifest, library) do
    name = Manifest.name(manifest)
    # erl_tar can only write to a file.
    file = Path.join(System.tmp_dir!(), "#{name}-#{System.pid()}.tar")

    try do
      {:ok, tar} = :erl_tar.open(file, [:write])
      add(tar, name <> ".so", library)
      add(tar, name <> ".manifest", Manifest.encode(manifest))
      :ok = :erl_tar.close(tar)
      :zlib.gzip(File.read!(file))
    after
      File.rm(file)
    end
  end

  # The entries have no user and no time of their own, so that the tarball is always the same.
  defp add(tar, name, content) do
    :ok =
      :erl_tar.add(tar, content, to_charlist(name), atime: 0, mtime: 0, ctime: 0, uid: 0, gid: 0)
  end

  @doc "The text of the manifest, and the library; or what is wrong with the tarball."
  @spec unpack(binary) :: {:ok, String.t(), binary} | {:error, String.t()}
  def unpack(bytes) do
    with {:ok, tar} <- gunzip(bytes),
         {:ok, files} <- :erl_tar.extract({:binary, tar}, [:memory]),
         {_, manifest} <- Enum.find(files, &ends_with?(&1, ".manifest")),
         {_, library} <- Enum.find(files, &ends_with?(&1, ".so")) do
      {:ok, manifest, library}
    else
      nil -> {:error, "it does not contain a library and its manifest: pack it again"}
      {:error, _} -> {:error, "it is damaged, or no tarball: get it again"}
    end
  end

  defp ends_with?({name, _}, ending), do: name |> to_string() |> String.ends_with?(ending)

  defp gunzip(bytes) do
    {:ok, :zlib.gunzip(bytes)}
  rescue
    error in ErlangError -> {:error, error}
  end
end
