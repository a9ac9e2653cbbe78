defmodule Bench.LongSchedules do
  @moduledoc false
  # Notes each time that a function of ZenMonitor was on a scheduler for 5 ms or more without a break,
  # as `:erlang.system_monitor/2` reports it.
  #
  # A garbage collection happens in whichever function asks for memory. What the VM reports as one
  # is taken off.

  # Milliseconds.
  @limit 5
  @collection 1

  @doc "Has this VM watched."
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

  @doc "What was noted so far, in words."
  @spec seen() :: [String.t()]
  def seen do
    tag = make_ref()
    send(__MODULE__, {:seen, self(), tag})
    receive do: ({^tag, seen} -> seen)
  end

  defp loop(seen, collected) do
    receive do
      {:monitor, pid, :long_gc, info} ->
        loop(seen, Map.put(collected, pid, {now(), info[:timeout]}))

      {:monitor, subject, :long_schedule, info} ->
        held = info[:timeout] - collection(collected, subject, info[:timeout])
        ours? = Enum.any?([info[:in], info[:out]], &ours?/1)
        loop(if(ours? and held >= @limit, do: [inspect(info) | seen], else: seen), collected)

      {:seen, from, tag} ->
        send(from, {tag, seen})
        loop(seen, collected)
    end
  end

  # Its report arrives before that of the schedule it happened in.
  defp collection(collected, subject, held) do
    case collected do
      %{^subject => {at, time}} -> if now() - at <= held + @limit, do: time, else: 0
      %{} -> 0
    end
  end

  defp ours?({module, _function, _arity}) do
    match?("Elixir.ZenMonitor" <> _, Atom.to_string(module))
  end

  defp ours?(_undefined), do: false

  defp now, do: System.monotonic_time(:millisecond)
end
