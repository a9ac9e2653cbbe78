defmodule Bench.Running do
  @moduledoc false
  # How long a process is on a scheduler. Runs in the VM of that process.

  @doc "Begins to watch a registered process, if there is one."
  @spec begin(atom) :: pid | nil
  def begin(name) do
    if process = Process.whereis(name) do
      {:ok, tracer} = Task.start(fn -> loop(0, nil) end)
      :erlang.trace(process, true, [:running, :monotonic_timestamp, tracer: tracer])
      tracer
    end
  end

  @doc "Ends that, and returns for how many µs the process has run since. `nil` if there was no process."
  @spec finish(atom, pid | nil) :: float | nil
  def finish(_name, nil), do: nil

  def finish(name, tracer) do
    process = Process.whereis(name)
    :erlang.trace(process, false, [:running])
    delivered = :erlang.trace_delivered(process)
    receive do: ({:trace_delivered, ^process, ^delivered} -> :ok)
    send(tracer, {:finish, self()})
    receive do: ({^tracer, run} -> System.convert_time_unit(run, :native, :nanosecond) / 1_000)
  end

  defp loop(run, since) do
    receive do
      {:trace_ts, _process, :in, _place, time} -> loop(run, time)
      {:trace_ts, _process, :out, _place, time} when since != nil -> loop(run + time - since, nil)
      {:trace_ts, _process, :out, _place, _time} -> loop(run, nil)
      {:finish, from} -> send(from, {self(), run})
    end
  end
end
