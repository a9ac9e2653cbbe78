defmodule ZenMonitor.ProxyOfVersion2 do
  @moduledoc false
  # In place of the Proxy on a node without ZenMonitor: it answers as version 2 does, whatever the tag of a
  # call, and keeps all that it is sent.

  alias ZenMonitor.Proxy

  @doc "Starts it under the name of the Proxy."
  def start do
    starter = self()

    pid =
      spawn(fn ->
        Process.register(self(), Proxy)
        send(starter, self())
        loop([])
      end)

    receive(do: (^pid -> pid))
  end

  @doc "What it was sent, in order."
  def received do
    send(Proxy, {:received, self()})
    receive(do: ({:received_so_far, messages} -> messages))
  end

  defp loop(messages) do
    receive do
      {:received, from} ->
        send(from, {:received_so_far, Enum.reverse(messages)})
        loop(messages)

      {:"$gen_call", from, :ping} = message ->
        GenServer.reply(from, :pong)
        loop([message | messages])

      message ->
        loop([message | messages])
    end
  end
end
