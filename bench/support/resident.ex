defmodule Bench.Resident do
  @moduledoc false
  # How much resident memory the VM of the callers takes for each monitor or member.

  alias Bench.{Caller, Options, Pair, Resources, Rounds, Standing, Targets}

  @typedoc "Has callers place, or remove, one monitor or member for each of so many targets."
  @type step :: (Pair.t(), Standing.callers() -> term)

  @doc """
  Compares `:resident`, in bytes for each of `size` targets, in at least so many rounds. Each round has fresh
  VMs, which have no free memory to give back or to use again.
  """
  @spec compare(Options.t(), pos_integer, pos_integer, step, step) :: Rounds.result()
  def compare(options, size, least, place, remove) do
    # In one single chunk the instructions would leave garbage behind that no default setting leaves.
    settings = [rounds: Options.rounds(options, least), fresh: true, settings: :quick]
    prepare = fn pair -> Pair.remote(pair, Targets, :add, [size]) end
    Rounds.compare(options, settings, prepare, fn pair, _ -> round(pair, size, place, remove) end)
  end

  defp round(pair, size, place, remove) do
    callers = Standing.caller(pair, size)
    empty = resident(pair, callers)
    place.(pair, {callers, size})
    full = resident(pair, callers)
    remove.(pair, {callers, size})
    Pair.local(pair, Caller, :stop, [callers])
    %{resident: (full - empty) / size}
  end

  defp resident(pair, callers) do
    Pair.settle(pair)
    Pair.local(pair, Caller, :collect, [callers])
    Pair.settle(pair)
    Resources.resident_at_rest(pair.local.os_pid)
  end
end
