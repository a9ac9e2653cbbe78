defmodule ZenMonitor.Wire do
  @moduledoc false
  # Which form two nodes have for what they tell each other: the lists of version 2, or the compact parts that
  # `guides/protocol.md` describes, of which there may be several versions some day. A version of 0 means lists.
  #
  # Version 2 must never see anything that it does not know. So a Connector asks, by the ping that it sends
  # anyway: the tag of a call comes back with the answer, whatever it is, and nothing else looks at it.
  # Who finds there that the caller knows of the compact wire answers which version it reads itself. What the
  # Connector then sends says in which version it wants its certificates.

  alias ZenMonitor.{Config, Native}

  @version 1
  @tag :zen_monitor_3

  @type version :: non_neg_integer

  @doc "The latest version that this node offers, and 0 if it is to speak as version 2 does."
  @spec offered() :: version
  def offered do
    if Config.get(:wire) == :compact and Native.knows_pids(), do: @version, else: 0
  end

  @doc "What a ping is answered."
  @spec pong(GenServer.from()) :: :pong | {:pong, version}
  def pong({_pid, {_ref, @tag}}) do
    case offered() do
      0 -> :pong
      version -> {:pong, version}
    end
  end

  def pong(_from), do: :pong

  @doc """
  Asks a remote Proxy, and answers in which version it can be spoken to. `:error` if it does not answer as it
  should in time, and `:noconnection` if there is no connection to ask over, or not for long enough. May leave
  a message behind, so a process of its own should ask.
  """
  @spec ping({module, node}, timeout) :: {:ok, version} | :noconnection | :error
  def ping({_name, node} = proxy, timeout) do
    # This node might have got another name by the time that it hears what it has told itself.
    if offered() > 0 and generic?() and node != node(),
      do: negotiate(proxy, timeout),
      else: check(ZenMonitor.gen_module().call(proxy, :ping, timeout))
  catch
    :exit, {{:nodedown, ^node}, _call} -> :noconnection
    _, _ -> :error
  end

  @doc "The version to speak in now, to a process that reads this one."
  @spec current(version) :: version
  def current(version), do: if(Config.get(:wire) == :compact, do: version, else: 0)

  @doc "The version of the next cast to a Proxy that reads this one."
  @spec to_proxy(version) :: version
  def to_proxy(version), do: if(generic?(), do: current(version), else: 0)

  # A module of one's own is shown what it always was.
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
  # A later one also reads the former.
  defp check({:pong, version}) when version in 1..0xFF, do: {:ok, min(version, @version)}
  defp check(_), do: :error
end
