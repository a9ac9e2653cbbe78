defmodule Bench.Stall do
  @moduledoc false
  # An unrelated process with a timer of 1 ms, which notes by how much it was ever late.

  @doc "Starts it."
  @spec start() :: pid
  def start, do: spawn(fn -> loop(System.monotonic_time(:microsecond), 0) end)

  @doc "By how many µs it was late at most since it was last asked."
  @spec longest(pid) :: non_neg_integer
  def longest(pid) do
    tag = make_ref()
    send(pid, {:longest, self(), tag})
    receive do: ({^tag, longest} -> longest)
  end

  defp loop(last, longest) do
    receive do
      {:longest, from, tag} ->
        send(from, {tag, longest})
        loop(System.monotonic_time(:microsecond), 0)
    after
      1 ->
        now = System.monotonic_time(:microsecond)
        loop(now, max(longest, now - last - 1_000))
    end
  end
end
