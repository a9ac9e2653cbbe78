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

  alias ZenMonitor.{Config, Native, StandIn, Telemetry, Wire}

  # When a Batcher that may retire learns of it, in ms. To wake it at once would take a core from the node that has just
  # been sent to, if both are on one machine.
  @unused_after 20

  @type passed ::
          {native :: reference, connector :: pid, Wire.version(), certificates :: list,
           amount :: pos_integer}

  @doc """
  Sends what was passed on, or leaves it to the Batchers. With `in_order?`, nothing is sent before what has come into the
  mailbox is handled.
  """
  @spec send_all([passed], in_order? :: boolean) :: :ok
  def send_all([], _in_order?), do: :ok

  def send_all(passed, in_order?) do
    began = Telemetry.began()
    sent = send_each(passed, in_order?)

    # So far it was only put into the queue of the connection. Often this scheduler is to write it, too.
    :erlang.yield()
    for one <- sent, do: note_sent(one, began)
    # As often as a Batcher would, but not before what is urgent.
    Config.note_truncation()
    StandIn.note(:batcher)
  end

  # Returns those that were sent.
  defp send_each([], _in_order?), do: []

  defp send_each([{native, _, _, _, _} = passed | rest], in_order?) do
    if sent?(passed, in_order?) do
      [passed | send_each(rest, in_order?)]
    else
      Native.proxy_take_back(native)
      send_each(rest, in_order?)
    end
  end

  defp sent?({_native, connector, version, certificates, _amount}, in_order?) do
    (not in_order? or Process.info(self(), :message_queue_len) == {:message_queue_len, 0}) and
      :erlang.send(connector, Wire.dead(version, certificates), [:nosuspend, :noconnect]) !=
        :nosuspend
  end

  defp note_sent({native, connector, _version, _certificates, amount}, began) do
    Telemetry.batcher_sweep(began, connector, native, amount)
    batcher = Native.proxy_passed_on(native, System.monotonic_time(:nanosecond))
    if batcher, do: Process.send_after(batcher, :unused, @unused_after)
  end
end
