defmodule ZenMonitor.Wire do
  @moduledoc false
  # The form in which two nodes speak: the lists of version 2, or the compact form that `guides/protocol.md`
  # describes. The compact form has a version, which is 1 so far. A version of 0 means lists.
  #
  # Version 2 must never get anything that it does not know. So a Connector asks, by the ping that it sends
  # anyway. The tag of a call comes back with the answer, whatever the tag is, and version 2 does not look at it.
  # A Proxy of version 3 sees in the tag that the caller knows the compact form, and answers with the version that
  # it reads itself. It then sends certificates in the version of the instructions that it gets.

  alias ZenMonitor.{Config, Native}

  @version 1
  @tag :zen_monitor_3

  @type version :: non_neg_integer

  @doc "The latest version that this node offers. 0 if it speaks as version 2 does."
  @spec offered() :: version
  def offered do
    if Config.get(:wire) == :compact and Native.knows_pids(), do: @version, else: 0
  end

  @doc "The answer to a ping."
  @spec pong(GenServer.from()) :: :pong | {:pong, version}
  def pong({_pid, {_ref, @tag}}) do
    case offered() do
      0 -> :pong
      version -> {:pong, version}
    end
  end

  def pong(_from), do: :pong

  @doc """
  Pings a remote Proxy, and returns in which version it can be spoken to. `:error` if it does not answer as it
  should in time, `:noconnection` if there is no connection or it is lost before the answer. May leave a message in
  the mailbox, so call it from a process of its own.
  """
  @spec ping({module, node}, timeout) :: {:ok, version} | :noconnection | :error
  def ping({_name, node} = proxy, timeout) do
    # This node speaks to itself in lists, since it may get another name while a message is under way.
    if offered() > 0 and generic?() and node != node(),
      do: negotiate(proxy, timeout),
      else: check(ZenMonitor.gen_module().call(proxy, :ping, timeout))
  catch
    :exit, {{:nodedown, ^node}, _call} -> :noconnection
    _, _ -> :error
  end

  @doc "The version in which to speak now to a process that reads `version`."
  @spec current(version) :: version
  def current(version), do: if(Config.get(:wire) == :compact, do: version, else: 0)

  @doc "The latest version in which this node speaks now."
  @spec latest() :: version
  def latest, do: current(@version)

  @doc "The version of the next cast to a Proxy that reads `version`."
  @spec to_proxy(version) :: version
  def to_proxy(version), do: if(generic?(), do: current(version), else: 0)

  @doc "The message that tells a Connector of the dead: certificates as a list, or their parts in the compact form."
  @spec dead(version, list) :: tuple
  def dead(0, certificates), do: {:dead, node(), certificates}
  def dead(version, parts), do: {:dead, version, node(), parts}

  # Any other module gets what it always got.
  defp generic?, do: ZenMonitor.gen_module() == GenServer

  defp negotiate(proxy, timeout) do
    monitor = Process.monitor(proxy)
    tag = {monitor, @tag}
    :erlang.send(proxy, {:"$gen_call", {self(), tag}, :ping}, [:noconnect])

    receive do
      {^tag, answer} -> check(answer)
      {:DOWN, ^monitor, _, _, :noconnection} -> :noconnection
      {:DOWN, ^monitor, _, _, _} -> :error
    after
      timeout -> :error
    end
  end

  defp check(:pong), do: {:ok, 0}
  # A node with a later version also reads the former ones.
  defp check({:pong, version}) when version in 1..0xFF, do: {:ok, min(version, @version)}
  defp check(_), do: :error
end
