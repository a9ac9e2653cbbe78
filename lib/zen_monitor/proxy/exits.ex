defmodule ZenMonitor.Proxy.Exits do
  @moduledoc false
  # Takes the exits of watched processes from the mailbox of the caller, which holds their ERTS monitors, to the
  # native tables.

  alias ZenMonitor.{Native, Proxy.Passing, Truncator}

  # The most exits that are handled at once, and of how many some may be passed on.
  @batch 64
  @few 32

  defguardp is_detailed(reason)
            when is_tuple(reason) and tuple_size(reason) == 2 and elem(reason, 0) == :shutdown and
                   not is_atom(elem(reason, 1))

  @doc """
  Certifies an exit and those that follow it in the mailbox: a mass exit is one native call for many. What comes
  behind them is handled next, as `{:next, message}` by `c:GenServer.handle_continue/2`, so that all stays in its
  order.
  """
  @spec certify(destination :: term, reason :: term, state) ::
          {:noreply, state} | {:noreply, state, term}
        when state: term
  # The details of a shutdown are not truncated, whatever their size.
  def certify(destination, reason, state) when is_detailed(reason) do
    Native.proxy_certify_bulky(destination, reason)
    {:noreply, state}
  end

  def certify(destination, reason, state) do
    cut = Truncator.truncate(reason)
    {exits, left, next} = receive_more([[destination | cut]], reason, cut, @batch - 1)
    exits |> Enum.reverse() |> certify_all(quota(left, next))

    case next do
      nil -> {:noreply, state}
      {:exit, destination, reason} -> certify(destination, reason, state)
      {:next, _message} -> {:noreply, state, {:continue, next}}
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

  # `exits` has the latest first. `cut` is what was left of the last reason, `whole`. In a mass exit the reasons are
  # nearly always the same. What is the same atom is not truncated again, and what is left of any other is small enough
  # to be compared, and then encoded once.
  defp receive_more(exits, _whole, _cut, 0), do: {exits, 0, nil}

  defp receive_more(exits, whole, cut, left) do
    receive do
      {:DOWN, _monitor, :process, pid, ^whole} when is_atom(whole) ->
        receive_more([[pid | cut] | exits], whole, cut, left - 1)

      {:DOWN, _monitor, :process, pid, reason} ->
        add(pid, reason, exits, cut, left)

      {{:DOWN, name}, _monitor, :process, _object, reason} ->
        add(name, reason, exits, cut, left)

      message ->
        {exits, left, {:next, message}}
    after
      0 -> {exits, left, nil}
    end
  end

  defp add(destination, reason, exits, _cut, left) when is_detailed(reason) do
    {exits, left, {:exit, destination, reason}}
  end

  defp add(destination, reason, exits, last, left) do
    cut = Truncator.truncate(reason)
    cut = if cut === last, do: last, else: cut
    receive_more([[destination | cut] | exits], reason, cut, left - 1)
  end

  # Only a few are ever passed on.
  defp quota(left, nil) when left >= @batch - @few, do: Passing.quota()
  defp quota(_left, _next), do: :none

  defp certify_all([], _quota), do: :ok

  defp certify_all(exits, quota) do
    {rest, passed} = Native.proxy_certify(exits, quota)
    Passing.send_all(passed, quota)
    certify_all(rest, quota)
  end
end
