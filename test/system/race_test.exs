defmodule ZenMonitor.RaceTest do
  # A demonitor with `:flush` races against the delivery of the same `:DOWN`, with the Dispatcher at full speed. Once it
  # has returned, the message must neither be in the mailbox nor come later.
  use ZenMonitor.Case

  alias ZenMonitor.Local.{Connector, Dispatcher}
  alias ZenMonitor.Proxy.Batcher

  @moduletag timeout: :infinity
  # How many monitors one racer has at a time.
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

  test "100,000 races for members of sets leave no message behind" do
    race(100_000, &set_racer/2)
  end

  @tag :soak
  test "1,000,000 races leave no message behind" do
    race(1_000_000)
  end

  defp race(amount, racer \\ &racer/2) do
    rounds = div(amount, @racers * @batch)
    seed = ExUnit.configuration()[:seed]
    racers = for number <- 1..@racers, do: Task.async(fn -> racer.(rounds, {seed, number, 0}) end)
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

  # All monitors of one racer are members of one set. When most are put, their former membership is over.
  defp set_racer(rounds, seed) do
    :rand.seed(:exsss, seed)
    set = ZenMonitor.Set.new()

    deleted =
      for _ <- 1..rounds do
        targets = PeerScript.targets(@batch)
        assert ZenMonitor.Set.put(set, targets) == @batch
        for target <- targets, do: Process.exit(target, :kill)
        delete(set, targets)
      end

    assert ZenMonitor.Set.size(set) == 0 and downs([]) == %{}
    ZenMonitor.Set.close(set)
    Enum.sum(deleted)
  end

  defp delete(%{ref: ref} = set, targets) do
    receive do
      {:DOWN, ^ref, :process, first, {:zen_monitor, _}} ->
        targets = List.delete(targets, first)
        targets = if :rand.uniform(2) == 1, do: targets, else: Enum.reverse(targets)
        lists = Enum.chunk_every(targets, :rand.uniform(3))
        Enum.sum(for list <- lists, do: deleted(set, list))
    end
  end

  # Deletes with `:flush`, or receives the message of each member that was not deleted.
  defp deleted(%{ref: ref} = set, list) do
    flush? = :rand.uniform(2) == 1
    deleted = ZenMonitor.Set.delete(set, list, flush: flush?)

    unless flush? do
      received = for object <- list, received?(ref, object), do: object
      assert length(received) + deleted == length(list)
    end

    for object <- list, do: refute_received({:DOWN, ^ref, _, ^object, _})
    deleted
  end

  defp received?(ref, object) do
    receive do
      {:DOWN, ^ref, _, ^object, _} -> true
    after
      0 -> false
    end
  end

  # All monitors have the same target, or each its own.
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

  # The first message is the signal to start. Monitors are delivered in the order in which they were placed. They are
  # removed in the same order, close behind the delivery, or in the opposite order.
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
