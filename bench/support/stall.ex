defmodule Bench.Stall do
  @moduledoc false
  # An unrelated process with a timer of 1 ms, which notes by how much it was ever late.

  @doc "Starts it."
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
