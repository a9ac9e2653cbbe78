defmodule Bench.LongSchedules do
  @moduledoc false
  # Notes each time that a process was on a scheduler for 5 ms or more without a break, as
  # `:erlang.system_monitor/2` reports it, and whether the report names a function of ZenMonitor.
  #
  # A garbage collection happens in whichever function asks for memory, so collections that the VM reports are
  # subtracted. The time for which the scheduler waits for a core cannot be subtracted. So compare with the other
  # contenders.

  # Milliseconds.
  @limit 5
  @collection 1

  @doc "Begins to watch this VM."
  @spec watch() :: :ok
  def watch do
    watcher =
      spawn(fn ->
        Process.flag(:priority, :high)
        loop([], %{})
      end)

    Process.register(watcher, __MODULE__)
    :erlang.system_monitor(watcher, long_schedule: @limit, long_gc: @collection)
    :ok
  end

  @doc "What was noted so far: the longest first, with their length in ms."
  @spec seen() :: [{pos_integer, ours? :: boolean, String.t()}]
  def seen do
    tag = make_ref()
    send(__MODULE__, {:seen, self(), tag})
    receive do: ({^tag, seen} -> Enum.sort(seen, :desc))
  end

  defp loop(seen, collected) do
    receive do
      {:monitor, pid, :long_gc, info} ->
        loop(seen, Map.put(collected, pid, {now(), info[:timeout]}))

      {:monitor, subject, :long_schedule, info} ->
        held = info[:timeout] - collection(collected, subject, info[:timeout])
        loop(if(held >= @limit, do: [describe(held, info) | seen], else: seen), collected)

      {:seen, from, tag} ->
        send(from, {tag, seen})
        loop(seen, collected)
    end
  end

  # The report of a collection arrives before that of the schedule in which it happened.
  defp collection(collected, subject, held) do
    case collected do
      %{^subject => {at, time}} -> if now() - at <= held + @limit, do: time, else: 0
      %{} -> 0
    end
  end

  defp describe(held, info) do
    places = [info[:in], info[:out]]
    {held, Enum.any?(places, &ours?/1), Enum.map_join(places, " to ", &place/1)}
  end

  defp ours?({module, _function, _arity}) do
    match?("Elixir.ZenMonitor" <> _, Atom.to_string(module))
  end

  defp ours?(_undefined), do: false

  defp place({module, function, arity}), do: Exception.format_mfa(module, function, arity)
  defp place(_undefined), do: "?"

  defp now, do: System.monotonic_time(:millisecond)
end
