defmodule ZenMonitor.Local.Grace do
  @moduledoc false
  # What becomes of the monitors on a node whose connection is lost, when `nodedown_grace` is not 0.
  #
  # - A connection is lost, and the Proxy had answered over it, or had been asked: the session is *held*. No
  #   monitor falls due, new monitors wait in the outbox, and a timer runs.
  # - The node is back and its Proxy answers, and it is the same life of the node: the held targets are
  #   *resumed*. They are put into the outbox again, as many at a time as the budget has room for.
  # - It is another life of the node, nothing answers, or the time is over: all sessions expire.
  #
  # The time counts from when the node was last there. Further losses do not prolong it until the Proxy has
  # answered again. All of this but the timer is in the tables, where the successor of a killed Connector finds it.

  alias ZenMonitor.{Config, Native, Telemetry}

  # How many targets one call may put into the outbox.
  @slice 1_000

  # The timer is `nil` when a Connector was killed while it resumed. Its successor goes on with that, unless the
  # connection is lost once more.
  @type t ::
          :none
          | {:held, timer :: reference | nil}
          | {:resuming, since :: integer, targets :: non_neg_integer, monitors :: non_neg_integer}

  @doc "The state that a Connector finds in the tables when it starts."
  @spec recover(node) :: t
  def recover(key) do
    case Native.connector_held(key) do
      {true, deadline} -> {:held, deadline && start_timer(deadline)}
      {false, _} -> :none
    end
  end

  @doc """
  Notes that the connection is lost. `asked?` tells whether a ping to the Proxy was under way. If it returns `:none`,
  nothing is held, and the session of the connection must expire.
  """
  @spec lose(t, node, asked? :: boolean) :: t
  def lose(grace, key, asked?) do
    case Config.get(:nodedown_grace) do
      0 when grace == :none -> :none
      time -> hold(grace, key, time, asked?)
    end
  end

  # Nothing was subscribed over any connection since the first loss, so there is nothing more to hold.
  defp hold({:held, timer} = held, _key, _time, _asked?) when timer != nil, do: held

  defp hold(_grace, key, time, asked?) do
    case Native.connector_hold(key, ZenMonitor.now(), time, asked?) do
      nil ->
        :none

      {deadline, monitors} ->
        Telemetry.node_held(key, monitors, time)
        {:held, start_timer(deadline)}
    end
  end

  @doc "Notes that the Proxy has answered, and in which life of its node."
  @spec recognize(t, node, life :: non_neg_integer | nil) :: t
  def recognize(grace, key, life) do
    cancel(grace)

    case Native.connector_recognize(key, life) do
      nil -> :none
      since -> {:resuming, since, 0, 0}
    end
  end

  @doc """
  Puts held targets into the outbox, before `allowance` instructions are taken from it. New targets are in the outbox
  already. So that neither kind keeps the other waiting, held targets get the rest of the allowance, and at least half
  of it.
  """
  @spec resume(t, node, allowance :: pos_integer) :: t
  def resume({:resuming, _, _, _} = grace, key, allowance) do
    room = allowance - Native.outbox_len(key)
    resume_many(grace, key, max(room, div(allowance + 1, 2)))
  end

  def resume(grace, _key, _allowance), do: grace

  defp resume_many(grace, _key, amount) when amount <= 0, do: grace

  defp resume_many({:resuming, since, targets, monitors}, key, amount) do
    {more, released, done?} = Native.connector_resume(key, min(amount, @slice))
    {targets, monitors} = {targets + more, monitors + released}

    if done? do
      Telemetry.node_resumed(key, targets, monitors, ZenMonitor.now() - since)
      :none
    else
      resume_many({:resuming, since, targets, monitors}, key, amount - more)
    end
  end

  @doc "Ends the grace. If anything is held, it must expire."
  @spec give_up(t) :: :none
  def give_up(grace) do
    cancel(grace)
    :none
  end

  @doc """
  The creation of the connected node, which tells this life of the node from its former ones. `nil` if it cannot be
  found out, `:noconnection` if the node is not connected. Waits for an answer.
  """
  @spec life(node) :: non_neg_integer | :noconnection | nil
  def life(node) do
    # A pid has the creation of its node. Any node answers this request with a pid, whatever runs on it.
    request = :erlang.spawn_request(node, :erlang, :self, [], [])

    receive do
      {:spawn_reply, ^request, :ok, pid} -> creation(pid)
      {:spawn_reply, ^request, :error, :noconnection} -> :noconnection
      {:spawn_reply, ^request, :error, _reason} -> nil
    end
  end

  # The last four bytes of a pid in the external format.
  defp creation(pid) do
    encoded = :erlang.term_to_binary(pid)
    encoded |> binary_part(byte_size(encoded), -4) |> :binary.decode_unsigned()
  end

  defp start_timer(deadline), do: :erlang.start_timer(deadline, self(), :grace, abs: true)

  defp cancel({:held, timer}) when timer != nil, do: :erlang.cancel_timer(timer)
  defp cancel(_grace), do: :ok
end
