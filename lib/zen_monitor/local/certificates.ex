defmodule ZenMonitor.Local.Certificates do
  @moduledoc false
  # The certificates that a Connector gets, as lists (`certify/2`) and in the compact form (`certify_parts/2`).
  # Each native call takes a slice, so that none holds its scheduler for long. Reasons that take long to encode go
  # to a dirty scheduler. Malformed certificates are counted and skipped.
  #
  # While the Dispatcher sleeps, the same call delivers what falls due, as long as it is little.

  alias ZenMonitor.{Local.Address, Local.Connector, Malformed, Native, StandIn, Telemetry}

  # The most reasons that may come with one binary of certificates.
  @reasons 256

  @doc "Makes the monitors of certified destinations due. Each certificate is `{destination, reason}`."
  @spec certify(Address.key(), list) :: :ok
  def certify(_key, []), do: :ok

  def certify(key, [_ | _] = certificates) do
    began = Telemetry.began()

    key
    |> Native.connector_certify(certificates, stand_in())
    |> certified(key, began)
  end

  def certify(key, malformed), do: ignore(key, [malformed])

  defp certified({next, rest, malformed, delivered}, key, began) do
    note_delivered(delivered, began)
    ignore(key, malformed)

    case next do
      :ok -> certify(key, rest)
      :bulky -> key |> Native.connector_certify_bulky(rest) |> certified(key, began)
    end
  end

  @doc "The same for parts: binaries with their reasons, and lists. Returns how many certificates there were."
  @spec certify_parts(Address.key(), list) :: non_neg_integer
  def certify_parts(key, parts), do: certify_parts(key, parts, 0)

  defp certify_parts(key, [{runs, reasons} | parts], certified)
       when is_binary(runs) and is_tuple(reasons) and tuple_size(reasons) <= @reasons do
    certify_parts(key, parts, certified + certify_runs(key, runs, reasons))
  end

  defp certify_parts(key, [certificates | parts], certified) when is_list(certificates) do
    certify(key, certificates)
    certify_parts(key, parts, certified + Telemetry.count(certificates))
  end

  defp certify_parts(_key, [], certified), do: certified

  defp certify_parts(key, [malformed | parts], certified) do
    ignore(key, [malformed])
    certify_parts(key, parts, certified)
  end

  # The tail of an improper list.
  defp certify_parts(key, malformed, certified) do
    ignore(key, [malformed])
    certified
  end

  defp certify_runs(key, runs, reasons) do
    began = Telemetry.began()

    key
    |> Native.connector_certify_runs(runs, reasons, stand_in())
    |> certified_runs(key, reasons, began)
  end

  defp certified_runs({next, rest, certified, malformed, delivered}, key, reasons, began) do
    note_delivered(delivered, began)
    ignore(key, malformed)

    case {next, rest} do
      {:ok, ""} ->
        certified

      {:ok, rest} ->
        certified + certify_runs(key, rest, reasons)

      {:bulky, rest} ->
        more = Native.connector_certify_bulky_runs(key, rest, reasons)
        certified + certified_runs(more, key, reasons, began)
    end
  end

  defp stand_in, do: {node(), System.monotonic_time(:nanosecond)}

  defp note_delivered(0, _began), do: :ok

  defp note_delivered(amount, began) do
    # Often it is this scheduler that is to run the subscriber.
    :erlang.yield()
    Telemetry.delivery(began, amount)
    StandIn.note(:dispatcher)
  end

  defp ignore(key, malformed), do: Malformed.ignore(malformed, Connector, key)
end
