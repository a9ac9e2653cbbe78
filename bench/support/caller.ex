defmodule Bench.Caller do
  @moduledoc false
  # A process that monitors. It lives in the VM of the local node, and does one thing at a time.

  alias Bench.{Contender, Targets}

  @type t :: pid

  @doc """
  Starts so many callers, with options of `:erlang.spawn_opt/2`, and hands each its share of the remote
  targets.
  """
  @spec start(Contender.t(), node, pos_integer, non_neg_integer, pos_integer, keyword) :: [t]
  def start(contender, remote, callers, from, amount, options \\ []) do
    # The amount is kept, because counting a long list takes a millisecond, which the stall would show.
    state = %{contender: contender, remote: remote, amount: 0, pids: [], refs: []}
    started = for _ <- 1..callers, do: :erlang.spawn_opt(fn -> loop(state) end, options)
    share = div(amount, callers)
    for {caller, i} <- Enum.with_index(started), do: fetch(caller, from + i * share, share)
    started
  end

  @doc "Gives a caller other targets: those from the nth on."
  @spec fetch(t, non_neg_integer, pos_integer) :: :ok
  def fetch(caller, from, amount), do: [caller] |> run(&fetch_targets(&1, from, amount)) |> hd()

  @doc "Ends the callers, and with them their monitors."
  @spec stop([t]) :: :ok
  def stop(callers), do: Enum.each(callers, &Process.exit(&1, :kill))

  @doc "All callers monitor their targets at the same time. Returns the µs until the last has done so."
  @spec monitor([t]) :: non_neg_integer
  def monitor(callers), do: callers |> run(&place/1) |> Enum.max()

  @doc "All make a list of references, one for each target. Returns the µs until the last has done so."
  @spec list([t]) :: non_neg_integer
  def list(callers), do: callers |> run(&make_refs/1) |> Enum.max()

  @doc "All remove their monitors at the same time. Returns the µs until the last has done so."
  @spec demonitor([t]) :: non_neg_integer
  def demonitor(callers), do: callers |> run(&remove/1) |> Enum.max()

  @doc "Has a process send so many messages, and returns the µs until the last has arrived."
  @spec flood([t]) :: non_neg_integer
  def flood([caller]), do: [caller] |> run(&await_flood/1) |> hd()

  @doc "Ends the targets and returns the µs until the last `:DOWN` has arrived."
  @spec mass_exit([t]) :: non_neg_integer
  def mass_exit([caller]), do: [caller] |> run(&await_all(&1, fn node -> kill(node) end)) |> hd()

  @doc "Cuts the connection and returns the µs until the last `:DOWN` has arrived."
  @spec node_death([t]) :: non_neg_integer
  def node_death([caller]), do: [caller] |> run(&await_all(&1, fn node -> cut(node) end)) |> hd()

  @doc "Collects the garbage of the callers."
  @spec collect([t]) :: :ok
  def collect(callers), do: Enum.each(callers, &:erlang.garbage_collect/1)

  @doc "Has a node end all its targets, and returns at once."
  @spec kill(node) :: :ok
  def kill(node), do: :erpc.cast(node, Targets, :kill, [])

  @doc "Cuts the connection to a node."
  @spec cut(node) :: true
  def cut(node), do: true = Node.disconnect(node)

  @doc """
  Has callers run `function.(state)`, which returns `{result, state}`. All start at once, and the
  results come in the order of the callers.
  """
  @spec run([t], (map -> {term, map})) :: [term]
  def run(callers, function) do
    tags =
      for caller <- callers do
        tag = Process.monitor(caller)
        send(caller, {:run, self(), tag, function})
        tag
      end

    for tag <- tags do
      receive do
        {^tag, result} -> Process.demonitor(tag, [:flush]) && result
        {:DOWN, ^tag, :process, _caller, reason} -> exit(reason)
      end
    end
  end

  @doc "Receives so many `:DOWN` messages, and fails if there are fewer."
  @spec await(non_neg_integer) :: :ok
  def await(0), do: :ok

  def await(left) do
    receive do
      {:DOWN, _ref, :process, _object, _reason} -> await(left - 1)
    after
      60_000 -> raise "#{left} :DOWN messages are missing"
    end
  end

  @doc "Waits a moment, and fails if there is another `:DOWN` message."
  @spec refute_more() :: :ok
  def refute_more do
    receive do
      {:DOWN, _ref, :process, _object, _reason} -> raise "a :DOWN message too many"
    after
      100 -> :ok
    end
  end

  defp loop(state) do
    receive do
      {:run, from, tag, function} ->
        {result, state} = function.(state)
        send(from, {tag, result})
        loop(state)
    end
  end

  defp fetch_targets(state, from, amount) do
    pids = :erpc.call(state.remote, Targets, :slice, [from, amount])
    ^amount = length(pids)
    {:ok, %{state | amount: amount, pids: pids}}
  end

  defp place(state) do
    {time, refs} = :timer.tc(Contender, :monitor, [state.contender, state.pids])
    {time, %{state | refs: refs}}
  end

  # The references are kept until the list is complete, as those of monitors are.
  defp make_refs(state) do
    {time, _refs} = :timer.tc(fn -> for _ <- state.pids, do: make_ref() end)
    {time, state}
  end

  defp remove(state) do
    {time, :ok} = :timer.tc(Contender, :demonitor, [state.contender, state.refs])
    {time, %{state | refs: []}}
  end

  defp await_all(state, cause), do: {await_timed(state, cause), %{state | refs: []}}

  # The messages are like those that report the end of the targets.
  defp await_flood(state) do
    {to, amount} = {self(), state.amount}

    cause = fn _node ->
      spawn(fn ->
        for _ <- 1..amount do
          send(to, {:DOWN, make_ref(), :process, self(), {:zen_monitor, :nodedown}})
        end
      end)
    end

    {await_timed(state, cause), state}
  end

  defp await_timed(state, cause) do
    {time, :ok} =
      :timer.tc(fn ->
        cause.(state.remote)
        await(state.amount)
      end)

    refute_more()
    time
  end
end
