defmodule Bench.Running do
  @moduledoc false
  # How long a process is on a scheduler. Runs in the VM of that process.

  @typedoc "For how many µs the longest of them has run, and all together."
  @type run :: %{longest: float, all: float}

  @doc "Begins to watch the processes that hold the monitors of others, if there are any."
  @spec begin() :: {pid, [pid]}
  def begin do
    processes = processes()
    tracer = spawn(fn -> loop(%{}, %{}) end)
    options = [:running, :monotonic_timestamp, tracer: tracer]
    for process <- processes, do: :erlang.trace(process, true, options)
    {tracer, processes}
  end

  @doc "Ends it."
  @spec finish({pid, [pid]}) :: run
  def finish({tracer, processes}) do
    for process <- processes do
      :erlang.trace(process, false, [:running])
      delivered = :erlang.trace_delivered(process)
      receive do: ({:trace_delivered, ^process, ^delivered} -> :ok)
    end

    send(tracer, {:finish, self()})
    receive do: ({^tracer, runs} -> run(Map.values(runs)))
  end

  defp run(runs) do
    runs = for run <- runs, do: System.convert_time_unit(run, :native, :nanosecond) / 1_000
    %{longest: Enum.max(runs, fn -> 0.0 end), all: Enum.sum(runs) * 1.0}
  end

  # Another version has no holders.
  defp processes do
    proxy = Process.whereis(ZenMonitor.Proxy)

    cond do
      proxy == nil -> []
      function_exported?(ZenMonitor.Native, :proxy_holders, 0) -> [proxy | holders()]
      true -> [proxy]
    end
  end

  defp holders, do: apply(ZenMonitor.Native, :proxy_holders, [])

  # By process, for how long it has run, and since when it does.
  defp loop(runs, since) do
    receive do
      {:trace_ts, process, :in, _place, time} ->
        loop(runs, Map.put(since, process, time))

      {:trace_ts, process, :out, _place, time} ->
        {began, since} = Map.pop(since, process, time)
        loop(Map.update(runs, process, time - began, &(&1 + time - began)), since)

      {:finish, from} ->
        send(from, {self(), runs})
    end
  end
end
