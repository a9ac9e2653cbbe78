defmodule ZenMonitor.Local.Grace do
  @moduledoc false
  # What becomes of the monitors on a node whose connection is lost, when `nodedown_grace` is not 0.
  #
  # - A connection is lost over which the Proxy had answered, or been asked: its session is *held*. Nothing
  #   falls due, new monitors wait in the outbox, and a timer runs.
  # - The node is back and its Proxy answers. If it is the same life of the node, what is held is
  #   *resumed*: put into the outbox again, as much as the budget has room for at a time.
  # - It is another life, nothing answers, or the time is over: all expires.
  #
  # The time counts from when the node was last there, so further losses do not prolong it until the Proxy has
  # answered again. All of this but the timer is in the tables, where the successor of a killed Connector finds it.

  alias ZenMonitor.{Config, Native, Telemetry}

  # What one call may put into the outbox.
  @slice 1_000

  # A timer of `nil` is that of a resumption whose Connector was killed: it goes on, or is lost once more.
  @type t ::
          :none
          | {:held, timer :: reference | nil}
          | {:resuming, since :: integer, targets :: non_neg_integer, monitors :: non_neg_integer}

  @doc "What a Connector finds when it starts."
  @spec recover(node) :: t
  def recover(key) do
    case Native.connector_held(key) do
      {true, deadline} -> {:held, deadline && start_timer(deadline)}
      {false, _} -> :none
    end
  end

  @doc """
  Notes that the connection is lost, while the Proxy was asked for an answer or not. For `:none`, all that
  was told over it must expire.
  """
  @spec lose(t, node, asked? :: boolean) :: t
  def lose(grace, key, asked?) do
    case Config.get(:nodedown_grace) do
      0 when grace == :none -> :none
      time -> hold(grace, key, time, asked?)
    end
  end

  # What is held is not told over any connection, so there is nothing more to hold.
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

  @doc "Notes that the Proxy has answered, in which life of its node."
  @spec recognize(t, node, life :: non_neg_integer | nil) :: t
  def recognize(grace, key, life) do
    cancel(grace)

    case Native.connector_recognize(key, life) do
      nil -> :none
      since -> {:resuming, since, 0, 0}
    end
  end

  @doc """
  Puts held targets into the outbox, before so many instructions are taken from it. What has come in
  meanwhile is there already, and neither may keep the other waiting.
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

  @doc "Ends it. What is held must expire, if anything is."
  @spec give_up(t) :: :none
  def give_up(grace) do
    cancel(grace)
    :none
  end

  @doc """
  Which life of a node is connected, as a number that no other life of it has had lately; `nil` if that cannot be
  known, and `:noconnection` if none is. Waits for the connection.
  """
  @spec life(node) :: non_neg_integer | :noconnection | nil
  def life(node) do
    # A pid says which life of its node it is of, and this is how to get one of the life that is
    # connected from any node, whatever runs there.
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
