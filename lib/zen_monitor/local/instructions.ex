defmodule ZenMonitor.Local.Instructions do
  @moduledoc false
  # The instructions for a node: taken out of its outbox as messages for its Proxy, sent, or given up when that is
  # not possible. Each native call takes a slice, so that none holds its scheduler for long.

  alias ZenMonitor.{Config, Local.Address, Native, Pace, Proxy, Wire}

  @type message :: {:process, pid, list} | {:process, Wire.version(), pid, list}

  @doc """
  The next message to the Proxy of a node that reads `version`: at most `allowance` instructions. Also returns how
  many it has, and whether the outbox is empty now. Until `Native.connector_confirm/1` is called, `withdraw/1` can
  take them back.
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

  # `GenServer.cast/2` itself would wait for as long as the connection is busy. The result `:noconnect` means
  # that a `nodedown` is under way.
  def cast(key, message, _amount) do
    proxy = {Proxy, Address.node_name(key)}

    case ZenMonitor.gen_module() do
      GenServer -> :erlang.send(proxy, {:"$gen_cast", message}, [:nosuspend, :noconnect])
      module -> module.cast(proxy, message)
    end
  end

  @doc "Takes back instructions that were taken and not sent."
  @spec withdraw(Address.key()) :: true
  def withdraw(key), do: Native.connector_withdraw(key) || withdraw(key)

  @doc "Puts all targets that the node was told of into the outbox again."
  @spec resubscribe(Address.key()) :: true
  def resubscribe(key), do: Native.connector_resubscribe(key) || resubscribe(key)

  @doc "Gives up the targets in the outbox: their monitors become due. Returns how many targets."
  @spec fail(Address.key()) :: non_neg_integer
  def fail(key), do: fail(key, 0)

  @doc "The same for those that wait beyond `max_pending_instructions`."
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

  # Each target of the excess is looked at once. One that has to be kept goes to the end of the outbox.
  defp shed(_key, 0, due), do: due

  defp shed(key, excess, due) do
    {looked, more} = Native.connector_shed(key, excess)
    shed(key, excess - looked, due + more)
  end
end
