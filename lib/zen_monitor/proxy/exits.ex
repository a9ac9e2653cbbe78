defmodule ZenMonitor.Proxy.Exits do
  @moduledoc false
  # Takes the exits of watched processes from the mailbox of the caller, which holds their ERTS monitors, to the
  # native tables.

  alias ZenMonitor.{Native, Proxy.Passing, Truncator}

  # The most exits that are handled at once.
  @batch 64

  @doc """
  Certifies an exit and those that follow it in the mailbox: a mass exit is one native call for many. What comes
  behind them is handled next, as `{:next, message}` by `c:GenServer.handle_continue/2`, so that all stays in its
  order. `in_order?` as for `Passing.send_all/2`.
  """
  @spec certify(destination :: term, reason :: term, in_order? :: boolean, state) ::
          {:noreply, state} | {:noreply, state, term}
        when state: term
  def certify(destination, reason, in_order?, state) do
    {exits, next} = receive_more([[destination | reason]], @batch - 1)
    # What came behind the exits is urgent, too, so then nothing is passed on.
    certify_all(exits, next == nil, in_order?)

    case next do
      {:next, _message} -> {:noreply, state, {:continue, next}}
      nil -> {:noreply, state}
    end
  end

  @doc "Handles a message that came behind exits, and was received with them, by the callbacks of a server."
  @spec handle_next(message :: term, server :: module, state :: term) :: tuple
  def handle_next({:"$gen_cast", request}, server, state), do: server.handle_cast(request, state)

  def handle_next({:"$gen_call", from, request}, server, state) do
    with {:reply, reply, state} <- server.handle_call(request, from, state) do
      GenServer.reply(from, reply)
      {:noreply, state}
    end
  end

  # Only the loop of the server can handle a system message of OTP.
  def handle_next(message, _server, state) when elem(message, 0) == :system do
    send(self(), message)
    {:noreply, state}
  end

  def handle_next(message, server, state), do: server.handle_info(message, state)

  # The exits have the latest first.
  defp receive_more(exits, 0), do: {Enum.reverse(exits), nil}

  defp receive_more(exits, left) do
    receive do
      {:DOWN, _monitor, :process, pid, reason} ->
        receive_more([[pid | reason] | exits], left - 1)

      {{:DOWN, name}, _monitor, :process, _object, reason} ->
        receive_more([[name | reason] | exits], left - 1)

      message ->
        {Enum.reverse(exits), {:next, message}}
    after
      0 -> {Enum.reverse(exits), nil}
    end
  end

  defp certify_all([], _pass_on?, _in_order?), do: :ok

  # The details of a shutdown are not truncated, whatever their size.
  defp certify_all([[destination | {:shutdown, detail} = reason] | rest], pass_on?, in_order?)
       when not is_atom(detail) do
    Native.proxy_certify_bulky(destination, reason)
    certify_all(rest, pass_on?, in_order?)
  end

  defp certify_all(exits, pass_on?, in_order?) do
    {plain, rest} = truncate(exits, nil)
    certify_plain(plain, pass_on?, in_order?)
    certify_all(rest, pass_on?, in_order?)
  end

  defp certify_plain([], _pass_on?, _in_order?), do: :ok

  defp certify_plain(exits, pass_on?, in_order?) do
    now = if pass_on?, do: System.monotonic_time(:nanosecond), else: :none
    {rest, passed} = Native.proxy_certify(exits, now)
    Passing.send_all(passed, in_order?)
    certify_plain(rest, pass_on?, in_order?)
  end

  # Truncates up to the next reason that is not truncated. What is left of a reason is small enough to be compared with
  # the last one. In a mass exit they are nearly always the same, and encoded once.
  defp truncate([[_ | {:shutdown, detail}] | _] = rest, _last) when not is_atom(detail) do
    {[], rest}
  end

  defp truncate([[destination | reason] | rest], last) do
    cut = Truncator.truncate(reason)
    last = if cut === last, do: last, else: cut
    {plain, rest} = truncate(rest, last)
    {[[destination | last] | plain], rest}
  end

  defp truncate([], _last), do: {[], []}
end
