defmodule ZenMonitor.Local.Instructions do
  @moduledoc false
  # What a node is told to watch: taken out of its outbox as messages for its Proxy, sent, and given up where
  # that cannot be. Each native call takes a slice, so that none holds its scheduler for long.

  alias ZenMonitor.{Config, Local.Address, Native, Pace, Proxy, Wire}

  @type message :: {:process, pid, list} | {:process, Wire.version(), pid, list}

  @doc """
  The next message to the Proxy of a node that can be spoken to in a version, of at most an allowance. Also
  how many instructions are in it, and whether the outbox was emptied. Until `Native.connector_confirm/1`
  they can be taken back by `withdraw/1`.
  """
  @spec next(Address.key(), Wire.version(), allowance :: pos_integer) ::
          {message, non_neg_integer, emptied? :: boolean}
  def next(key, version, allowance) do
    size = Pace.message_size(allowance)
    name = Address.node_name(key)

    case Wire.to_proxy(version) do
      0 ->
        {instructions, emptied?} = take(key, name, size)
        {{:process, self(), instructions}, length(instructions), emptied?}

      version ->
        {parts, amount, emptied?} = take_parts(key, name, size)
        {{:process, version, self(), parts}, amount, emptied?}
    end
  end

  @doc "Sends a message with so many instructions; `:nosuspend` when the connection does not take it."
  @spec cast(Address.key(), message, non_neg_integer) :: term
  def cast(_key, _message, 0), do: :ok

  # Not `GenServer.cast/2` itself, which waits as long as the connection is busy. `:noconnect` means
  # that the `:nodedown` is under way.
  def cast(key, message, _amount) do
    proxy = {Proxy, Address.node_name(key)}

    case ZenMonitor.gen_module() do
      GenServer -> :erlang.send(proxy, {:"$gen_cast", message}, [:nosuspend, :noconnect])
      module -> module.cast(proxy, message)
    end
  end

  @doc "Takes back what was taken and not sent."
  @spec withdraw(Address.key()) :: true
  def withdraw(key), do: Native.connector_withdraw(key) || withdraw(key)

  @doc "Puts all that the node was told into the outbox again."
  @spec resubscribe(Address.key()) :: true
  def resubscribe(key), do: Native.connector_resubscribe(key) || resubscribe(key)

  @doc "Makes due what the node cannot be told. Returns how many targets."
  @spec fail(Address.key()) :: non_neg_integer
  def fail(key), do: fail(key, 0)

  @doc "The same for what waits beyond `max_pending_instructions`."
  @spec shed(Address.key()) :: non_neg_integer
  def shed(key) do
    excess = Native.connector_excess(key, Config.limit(:max_pending_instructions))
    shed(key, excess, 0)
  end

  defp take(_key, _name, 0), do: {[], false}

  defp take(key, name, limit) do
    case Native.connector_take(key, name, limit) do
      {slice, true} ->
        {slice, true}

      {slice, false} ->
        {more, emptied?} = take(key, name, limit - length(slice))
        {slice ++ more, emptied?}
    end
  end

  defp take_parts(_key, _name, 0), do: {[], 0, false}

  defp take_parts(key, name, limit) do
    case Native.connector_take_parts(key, name, limit) do
      {_parts, _amount, true} = taken ->
        taken

      {parts, amount, false} ->
        {more, added, emptied?} = take_parts(key, name, limit - amount)
        {parts ++ more, amount + added, emptied?}
    end
  end

  defp fail(key, due) do
    case Native.connector_fail(key) do
      {more, true} -> due + more
      {more, false} -> fail(key, due + more)
    end
  end

  # Looks at each of the excess once: what has to be kept goes to the end.
  defp shed(_key, 0, due), do: due

  defp shed(key, excess, due) do
    {looked, more} = Native.connector_shed(key, excess)
    shed(key, excess - looked, due + more)
  end
end
