defmodule Bench.Holding do
  @moduledoc false
  # For how long the processes run that hold the monitors of another node, while these are placed and while
  # their targets exit.

  alias Bench.{Caller, Pair, Running, Targets}

  @doc "In µs for each monitor: those of all the processes together, and those of the longest."
  @spec measure(Pair.t(), pos_integer) :: %{atom => float}
  def measure(pair, size) do
    Pair.remote(pair, Targets, :add, [size])
    callers = Pair.local(pair, Caller, :start, [pair.contender, pair.remote.node, 1, 0, size])
    place = running(pair, fn -> Pair.local(pair, Caller, :monitor, [callers]) end)
    exit = running(pair, fn -> Pair.local(pair, Caller, :mass_exit, [callers]) end)
    Pair.local(pair, Caller, :stop, [callers])

    %{
      place_all: place.all / size,
      place_longest: place.longest / size,
      exit_all: exit.all / size,
      exit_longest: exit.longest / size
    }
  end

  defp running(pair, function) do
    Pair.settle(pair)
    began = Pair.remote(pair, Running, :begin, [])
    function.()
    Pair.settle(pair)
    Pair.remote(pair, Running, :finish, [began])
  end
end
