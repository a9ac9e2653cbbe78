defmodule Bench.Stall do
  @moduledoc false
  # An unrelated process with a timer of 1 ms, which notes how late the timer was at most.

  alias Bench.Pair

  @doc """
  Runs a function. Returns its result, and by how many µs the timer of such a process on the node that monitors
  was late at most meanwhile. A node with such a timer never comes to rest.
  """
  @spec during(Pair.t(), (() -> result)) :: {result, non_neg_integer} when result: term
  def during(pair, function) do
    stall = Pair.local(pair, __MODULE__, :start, [])
    result = function.()
    {result, Pair.local(pair, __MODULE__, :stop, [stall])}
  end

  @doc "Starts it. Runs in the VM in question, as `stop/1` does."
  @spec start() :: pid
  def start, do: spawn(fn -> loop(now(), 0) end)

  @doc "Stops it, and returns by how many µs it was late at most."
  @spec stop(pid) :: non_neg_integer
  def stop(pid) do
    tag = make_ref()
    send(pid, {:stop, self(), tag})
    receive do: ({^tag, longest} -> longest)
  end

  defp loop(last, longest) do
    receive do
      {:stop, from, tag} -> send(from, {tag, max(longest, now() - last - 1_000)})
    after
      1 ->
        now = now()
        loop(now, max(longest, now - last - 1_000))
    end
  end

  defp now, do: System.monotonic_time(:microsecond)
end
