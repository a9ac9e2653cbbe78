defmodule ZenMonitor.Cluster.TLS do
  @moduledoc false
  # What nodes need for distribution over TLS: one certificate for them all, made anew in each run.

  @doc "The path of a file for `-ssl_dist_optfile`."
  def options_file do
    folder = Path.join(System.tmp_dir!(), "zen_monitor_tls_#{System.pid()}")
    file = Path.join(folder, "options")
    unless File.exists?(file), do: make(folder, file)
    file
  end

  defp make(folder, file) do
    File.mkdir_p!(folder)
    ExUnit.after_suite(fn _ -> File.rm_rf!(folder) end)

    chain = %{root: [curve()], intermediates: [], peer: [curve()]}
    made = :public_key.pkix_test_data(%{server_chain: chain, client_chain: chain})
    {kind, key} = made.server_config[:key]

    options = [
      certfile: pem(folder, "certificate.pem", {:Certificate, made.server_config[:cert]}),
      keyfile: pem(folder, "key.pem", {kind, key}),
      # The tests are about a busy connection, not about who is at its end.
      verify: :verify_none
    ]

    File.write!(file, :io_lib.format("~p.~n", [[server: options, client: options]]))
  end

  defp pem(folder, name, {kind, der}) do
    path = Path.join(folder, name)
    File.write!(path, :public_key.pem_encode([{kind, der, :not_encrypted}]))
    to_charlist(path)
  end

  # Its keys are made in no time.
  defp curve, do: {:key, {:namedCurve, :secp256r1}}
end
