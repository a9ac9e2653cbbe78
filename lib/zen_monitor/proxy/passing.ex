defmodule ZenMonitor.Proxy.Passing do
  @moduledoc false
  # Sends a few certificates in the place of a Batcher that sleeps, so that an exit that comes alone has one process
  # less to wake. All else is left to the Batcher: what a connection refuses, what is beyond the budget or more than a
  # few, and what has large reasons.
  #
  # Invariants:
  #
  # - What is passed on stays in the outbox until it is sent, and nothing else leaves it meanwhile. If the caller dies
  #   in between, that is the death of the Proxy, with all that the outboxes were for.
  # - The caller is not suspended by a busy connection.
  # - The Proxy sends only over the connection that the certificates are for. It learns of the end of a connection by
  #   a message. So it sends nothing while anything is in its mailbox.
  # - Nobody tells the holders of the end of a connection. They only pass on certificates of pids. Those are true over
  #   the next connection as well: a Connector that has subscribed anew is told the same twice, and ignores the second.

  alias ZenMonitor.{Config, Native, Pace, Telemetry, Wire}

  @type passed ::
          {native :: reference, connector :: pid, Wire.version(), certificates :: list,
           amount :: pos_integer}

  @doc "What may be passed on now."
  @spec quota() :: Pace.quota() | :none
  def quota, do: Pace.quota(:batcher)

  @doc "Sends what was passed on, or leaves it to the Batchers."
  @spec send_all([passed], Pace.quota() | :none) :: :ok
  def send_all([], _quota), do: :ok

  def send_all(passed, quota) do
    send_each(passed, quota)
    # As often as other settings are read, but not before what is urgent.
    Config.note_truncation()
    :ok
  end

  defp send_each([], _quota), do: :ok

  defp send_each([{native, connector, _, _, amount} = passed | rest], quota) do
    began = Telemetry.began()

    if sent?(passed) do
      Telemetry.batcher_sweep(began, connector, native, amount)
      Native.proxy_passed_on(native, quota, System.monotonic_time(:nanosecond))
    else
      Native.proxy_take_back(native)
    end

    send_each(rest, quota)
  end

  # The form of the wire may have been changed since they were put together.
  defp sent?({_native, connector, version, certificates, _amount}) do
    version == Wire.current(version) and
      Process.info(self(), :message_queue_len) == {:message_queue_len, 0} and
      :erlang.send(connector, Wire.dead(version, certificates), [:nosuspend, :noconnect]) !=
        :nosuspend
  end
end
