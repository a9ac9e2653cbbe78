defmodule ZenMonitor.RaceTest do
  # A demonitor with `:flush` against the delivery of the very `:DOWN` that it is to prevent, with the
  # Dispatcher at full speed. Once it has returned, nothing may be in the mailbox, nor come later.
  use ZenMonitor.Case

  alias ZenMonitor.Local.{Connector, Dispatcher}
  alias ZenMonitor.Proxy.Batcher

  @moduletag timeout: :infinity
  # Monitors that one racer has at a time.
  @batch 1_000
  @racers 4

  setup do
    Dispatcher.demand_amount(1_000_000)
    for module <- [Connector, Batcher], do: module.chunk_size(1_000_000)
    for module <- [Connector, Batcher], do: module.sweep_interval(1)
    Dispatcher.demand_interval(1)
  end

  test "100,000 races leave no message behind" do
    race(100_000)
  end

  @tag :soak
  test "1,000,000 races leave no message behind" do
    race(1_000_000)
  end

  defp race(amount) do
    rounds = div(amount, @racers * @batch)
    seed = ExUnit.configuration()[:seed]
    racers = for number <- 1..@racers, do: Task.async(fn -> racer(rounds, {seed, number, 0}) end)
    removed = racers |> Task.await_many(:infinity) |> Enum.sum()
    # Both sides have won many times.
    assert removed > amount / 100 and removed < amount * 0.99
    wait_until(fn -> Native.sizes() |> Keyword.values() |> Enum.sum() == 0 end)
  end

  # How many of its monitors were removed in time.
  defp racer(rounds, seed) do
    :rand.seed(:exsss, seed)
    removed = for round <- 1..rounds, do: round |> rem(2) |> place() |> run()
    # Nothing comes later either.
    assert downs([]) == %{}
    Enum.sum(removed)
  end

  # One target for all, or one for each.
  defp place(0) do
    target = PeerScript.target()
    refs = for _ <- 1..@batch, do: ZenMonitor.monitor(target)
    wait_until_watched(target)
    Process.exit(target, :kill)
    refs
  end

  defp place(1) do
    targets = PeerScript.targets(@batch)
    refs = for target <- targets, do: ZenMonitor.monitor(target)
    for target <- targets, do: Process.exit(target, :kill)
    refs
  end

  # The first message is the signal to start. They are delivered in the order of their placing, and
  # removed in the same order, close behind, or in the opposite one.
  defp run(refs) do
    receive do
      {:DOWN, first, :process, _, {:zen_monitor, _}} ->
        refs = List.delete(refs, first)
        refs = if :rand.uniform(2) == 1, do: refs, else: Enum.reverse(refs)
        Enum.count(refs, &removed?/1)
    end
  end

  defp removed?(ref) do
    removed = ZenMonitor.demonitor(ref, [:flush, :info])
    refute_received {:DOWN, ^ref, _, _, _}
    removed
  end
end
