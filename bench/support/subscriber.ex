defmodule Bench.Subscriber do
  @moduledoc false
  # Groups of processes that monitor a few targets each. Each process notes when its last `:DOWN` came. It does
  # not send that anywhere, which would cost more than what is measured. They live in the VM of the local node.

  alias Bench.{Contender, Targets, Waiting}

  @typedoc "The process that knows the group."
  @type group :: pid

  @doc "Starts one subscriber for each list of targets, and waits until all have placed their monitors."
  @spec start(Contender.t(), [[pid]]) :: group
  def start(contender, lists) do
    {:ok, group} = Agent.start(fn -> start_group(contender, lists) end, timeout: :infinity)
    group
  end

  @doc "Starts so many subscribers, and deals out the processes of the remote node, so many to each."
  @spec start(Contender.t(), node, pos_integer, pos_integer) :: group
  def start(contender, remote, subscribers, each) do
    pids = :erpc.call(remote, Targets, :slice, [0, subscribers * each])
    start(contender, pids |> Enum.chunk_every(subscribers) |> Enum.zip_with(& &1))
  end

  @doc """
  Runs `cause`, and waits until all subscribers have their last message. Returns how long that took for the first and
  for the last of them, in µs.
  """
  @spec finish(group, (() -> term)) :: {first :: integer, last :: integer}
  def finish(group, cause) do
    Agent.get(
      group,
      fn state ->
        began = now()
        cause.()
        Waiting.until(fn -> :counters.get(state.finished, 1) == state.size end)
        times = for i <- 1..state.size, do: :atomics.get(state.times, i) - began
        Enum.min_max(times)
      end,
      :infinity
    )
  end

  @doc "Ends one process that all of them monitor. Waits and returns as `finish/2`."
  @spec fan_out(group, pid) :: {integer, integer}
  def fan_out(group, target), do: finish(group, fn -> send(target, :crash) end)

  @doc "Ends all targets of a node. Waits and returns as `finish/2`."
  @spec mass_exit(group, node) :: {integer, integer}
  def mass_exit(group, node), do: finish(group, fn -> Bench.Caller.kill(node) end)

  @doc "Ends the group. Fails if any of its processes has a message too many."
  @spec stop(group) :: :ok
  def stop(group) do
    pids = Agent.get(group, & &1.pids, :infinity)

    for pid <- pids do
      {:message_queue_len, 0} = Process.info(pid, :message_queue_len)
      Process.exit(pid, :kill)
    end

    Agent.stop(group)
  end

  defp start_group(contender, lists) do
    size = length(lists)
    {times, finished} = {:atomics.new(size, []), :counters.new(1, [])}
    owner = self()

    pids =
      for {targets, i} <- Enum.with_index(lists, 1) do
        spawn(fn ->
          refs = Contender.monitor(contender, targets)
          send(owner, {:placed, self()})
          wait(length(refs))
          :atomics.put(times, i, now())
          :counters.add(finished, 1, 1)
          receive do: (:never -> :ok)
        end)
      end

    for pid <- pids, do: receive(do: ({:placed, ^pid} -> :ok))
    %{pids: pids, times: times, finished: finished, size: size}
  end

  defp wait(0), do: :ok

  defp wait(left) do
    receive do
      {:DOWN, _ref, :process, _object, _reason} -> wait(left - 1)
    end
  end

  defp now, do: System.monotonic_time(:microsecond)
end
