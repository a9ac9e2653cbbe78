defmodule Mix.ZenMonitor.Library.Checksums do
  @moduledoc false
  # The digests that a project trusts. They are in a file with the name and the format that rustler_precompiled
  # uses: a map of `"name" => "sha256:…"`.

  @file_name "checksum-Elixir.ZenMonitor.Native.exs"

  @doc "The SHA-256 of some bytes, as it is written in checksum files and in manifests."
  @spec digest(binary) :: String.t()
  def digest(bytes) do
    ensure_crypto()

    # A plain call would make the compiler warn that this application does not depend on :crypto.
    sha = Function.capture(:crypto, :hash, 2).(:sha256, bytes)
    "sha256:" <> Base.encode16(sha, case: :lower)
  end

  @doc "The line for one file."
  @spec entry(String.t(), String.t()) :: String.t()
  def entry(name, digest), do: "#{inspect(name)} => #{inspect(digest)}"

  @doc """
  Checks that the checksum file in this folder has this digest for this name. Without such a file, any digest will
  do. The error says what was found, what is expected and what to do.
  """
  @spec check(Path.t(), String.t(), String.t()) :: :ok | {:error, String.t()}
  def check(folder, name, digest) do
    file = Path.join(folder, @file_name)

    case File.read(file) do
      {:ok, text} -> compare(parse(text), file, name, digest)
      {:error, :enoent} -> :ok
      {:error, reason} -> {:error, "#{file} cannot be read: #{:file.format_error(reason)}"}
    end
  end

  defp compare({:ok, checksums}, file, name, digest) do
    case checksums do
      %{^name => ^digest} ->
        :ok

      %{^name => expected} ->
        {:error,
         "it has the checksum #{digest}, and #{file} expects #{expected} for #{name}: get it again, " <>
           "or change that line if the library was packed anew"}

      %{} ->
        {:error,
         "#{file} has no checksum for #{name}: if you trust it, add the line #{entry(name, digest)}"}
    end
  end

  defp compare(:error, file, name, digest) do
    {:error,
     "#{file} is no map of names to checksums: let it read %{#{entry(name, digest)}} if you trust it"}
  end

  # Since Elixir 1.15, Mix hides the applications that a project does not list. This package lists none
  # that only its Mix tasks need.
  defp ensure_crypto do
    if function_exported?(Mix, :ensure_application!, 1) do
      apply(Mix, :ensure_application!, [:crypto])
    end
  end

  # Read as data, never run.
  defp parse(text) do
    with {:ok, {:%{}, _, pairs}} <- Code.string_to_quoted(text),
         true <-
           Enum.all?(pairs, &match?({name, sum} when is_binary(name) and is_binary(sum), &1)) do
      {:ok, Map.new(pairs)}
    else
      _ -> :error
    end
  end
end
