defmodule ZenMonitor.Cluster.TLS do
  @moduledoc false
  # What nodes need for distribution over TLS: one certificate for them all, made anew in each run, by an
  # authority of their own.

  @subject_alternative_name {2, 5, 29, 17}

  @doc """
  The path of a file for `-ssl_dist_optfile`: for `:tls`, where nobody looks at certificates; for
  `:verified_tls`, where both ends do; or for `:foreign_tls`, the same by another authority.
  """
  def options_file(kind) do
    folder = Path.join(System.tmp_dir!(), "zen_monitor_#{kind}_#{System.pid()}")
    file = Path.join(folder, "options")
    unless File.exists?(file), do: make(folder, file, kind)
    file
  end

  defp make(folder, file, kind) do
    File.mkdir_p!(folder)
    ExUnit.after_suite(fn _ -> File.rm_rf!(folder) end)

    # Both ends have the same certificate, so either chain will do. OTP 27 and later refuse what is signed with
    # SHA-1, the default here.
    signing = [curve(), {:digest, :sha256}]
    chain = %{root: signing, intermediates: [], peer: [{:extensions, [address()]} | signing]}
    made = :public_key.pkix_test_data(%{server_chain: chain, client_chain: chain})
    {kind_of_key, key} = made.server_config[:key]

    options = [
      certfile: pem(folder, "certificate.pem", [{:Certificate, made.server_config[:cert]}]),
      keyfile: pem(folder, "key.pem", [{kind_of_key, key}])
    ]

    # Those that a client trusts have signed the certificate of a server.
    authorities = for der <- made.client_config[:cacerts], do: {:Certificate, der}
    options = options ++ verification(kind, pem(folder, "authorities.pem", authorities))
    # What only a server asks for.
    server = if kind == :tls, do: options, else: [{:fail_if_no_peer_cert, true} | options]

    File.write!(file, :io_lib.format("~p.~n", [[server: server, client: options]]))
  end

  # Most tests are about a busy connection, not about who is at its end.
  defp verification(:tls, _authorities), do: [verify: :verify_none]

  defp verification(_verified, authorities) do
    [verify: :verify_peer, cacertfile: authorities]
  end

  defp pem(folder, name, entries) do
    path = Path.join(folder, name)
    entries = for {kind, der} <- entries, do: {kind, der, :not_encrypted}
    File.write!(path, :public_key.pem_encode(entries))
    to_charlist(path)
  end

  # Its keys are made in no time.
  defp curve, do: {:key, {:namedCurve, :secp256r1}}

  # A client compares the host of the node that it connects to.
  defp address do
    names = [dNSName: ~c"127.0.0.1", iPAddress: <<127, 0, 0, 1>>]
    {:Extension, @subject_alternative_name, false, names}
  end
end
