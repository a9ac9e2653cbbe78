defmodule ZenMonitor.Proxy.BatcherTest do
  use ExUnit.Case

  import ZenMonitor.Case, only: [suspend_stage: 1, resume_stage: 1, wait_until_watched: 1]
  import ZenMonitor.Cluster, only: [wait_until: 1]

  alias ZenMonitor.{Native, Proxy}
  alias ZenMonitor.Proxy.Batcher

  setup do
    on_exit(fn ->
      Batcher.sweep_interval(100)
      Batcher.chunk_size(5_000)
      Batcher.lookup_timeout(30_000)
    end)
  end

  describe "get/1" do
    test "returns the one Batcher of a Connector" do
      batcher = Batcher.get(self())
      assert Process.alive?(batcher)
      assert Batcher.get(self()) == batcher
      other = spawn(fn -> Process.sleep(:infinity) end)
      refute Batcher.get(other) == batcher
    end

    test "returns the Batcher that a subscription started" do
      GenServer.cast(Proxy, {:process, self(), []})
      Proxy.ping()
      children = DynamicSupervisor.which_children(Batcher.supervisor())
      assert {:undefined, Batcher.get(self()), :worker, [Batcher]} in children
    end

    test "gives up after the lookup timeout" do
      Batcher.lookup_timeout(10)
      :sys.suspend(Proxy)
      assert catch_exit(Batcher.get(self())) |> elem(0) == :timeout
    after
      :sys.resume(Proxy)
    end
  end

  describe "sweeping" do
    test "happens at once after a quiet interval" do
      Batcher.sweep_interval(5_000)
      Batcher.enqueue(Batcher.get(self()), :zen_a, :done)
      assert_receive {:dead, node, [{:zen_a, :done}]} when node == node(), 4_000
    end

    test "sends no more than a chunk in an interval, in order" do
      Batcher.sweep_interval(60)
      Batcher.chunk_size(10)
      batcher = traced_batcher()
      for number <- 1..35, do: Batcher.enqueue(batcher, :zen_a, number)
      batches = for _ <- 1..4, do: sent(batcher)
      # The first certificates may have gone out before the others came.
      batches = if total(batches) < 35, do: batches ++ [sent(batcher)], else: batches
      numbers = for {_, certificates} <- batches, {:zen_a, number} <- certificates, do: number
      assert numbers == Enum.to_list(1..35)
      assert Enum.all?(batches, fn {_, certificates} -> length(certificates) <= 10 end)
      times = for {time, _} <- batches, do: time
      gaps = Enum.zip_with(tl(times), times, &(&1 - &2))
      assert Enum.all?(gaps, &(&1 >= 59))
    end

    test "takes chunks that are larger than one native call" do
      batcher = Batcher.get(self())
      suspend_stage(batcher)
      for number <- 1..3_500, do: Batcher.enqueue(batcher, :zen_a, {:reason, number})
      Batcher.enqueue(batcher, :zen_b, {:shutdown, String.duplicate("x", 100_000)})
      Batcher.enqueue(batcher, :zen_c, :last)
      resume_stage(batcher)
      certificates = batches(3_502)
      assert Enum.take(certificates, 3_500) == for(n <- 1..3_500, do: {:zen_a, {:reason, n}})
      assert [{:zen_b, {:shutdown, large}}, {:zen_c, :last}] = Enum.drop(certificates, 3_500)
      assert byte_size(large) == 100_000
    end

    test "counts what it did" do
      # The Batcher of another test may be about to count what it has sent.
      ZenMonitor.Case.restart()
      batcher = Batcher.get(self())
      for _ <- 1..3, do: Batcher.enqueue(batcher, :zen_a, :done)
      assert length(batches(3)) == 3
      wait_until(fn -> Native.proxy_counters() == {0, 3, 3} end)
    end

    test "leaves an idle Batcher without a timer" do
      Batcher.sweep_interval(10)
      batcher = Batcher.get(self())
      Batcher.enqueue(batcher, :zen_a, :done)
      batch()
      Process.sleep(30)
      :erlang.trace(batcher, true, [:receive])
      refute_receive {:trace, ^batcher, :receive, _}, 100
    end
  end

  describe "a Batcher that is killed" do
    test "leaves what it had taken to its successor" do
      Batcher.sweep_interval(50)
      batcher = Batcher.get(self())
      %{native: native} = :sys.get_state(batcher)
      suspend_stage(batcher)
      for number <- 1..5, do: Native.proxy_enqueue(native, encoded(number))

      # The state in which a Batcher leaves the outbox when it is killed between taking and sending.
      :sys.replace_state(batcher, fn state ->
        {[zen_a: 1, zen_a: 2], 2, 0} = Native.proxy_take(native, 0, 2)
        state
      end)

      kill(self())
      assert batch() == for(number <- 1..5, do: {:zen_a, number})
    end

    test "takes nothing from its successor by a call that outlives it" do
      batcher = Batcher.get(self())
      %{native: native} = :sys.get_state(batcher)
      suspend_stage(batcher)
      Native.proxy_enqueue(native, encoded(1))
      # This process is not the Batcher, just as a dead Batcher is not any more.
      assert {[], 0, 0} = Native.proxy_take_bulky(native, 0, 10)
      assert {[], 0, 0} = Native.proxy_take(native, 0, 10)
      resume_stage(batcher)
      assert batch() == [{:zen_a, 1}]
    end

    test "loses nothing at any moment" do
      Batcher.sweep_interval(1)
      Batcher.chunk_size(7)
      targets = for _ <- 1..2_000, do: spawn(fn -> receive(do: (:exit -> exit(:done))) end)
      GenServer.cast(Proxy, {:process, self(), for(pid <- targets, do: {:subscribe, pid})})
      wait_until_watched(targets)
      connector = self()
      killer = spawn_link(fn -> keep_killing(connector) end)
      for target <- targets, do: send(target, :exit)
      assert missing(MapSet.new(targets)) == 0
      Process.unlink(killer)
      Process.exit(killer, :kill)
    end

    test "has a successor that keeps the pace" do
      Batcher.sweep_interval(300)
      former = traced_batcher()
      Batcher.enqueue(former, :zen_a, 1)
      {first, _} = sent(former)
      kill(self())
      successor = traced_batcher()
      Batcher.enqueue(successor, :zen_a, 2)
      {second, _} = sent(successor)
      assert second - first >= 299
    end
  end

  test "a Batcher that is stopped is replaced" do
    batcher = Batcher.get(self())
    GenServer.stop(batcher)
    wait_until(fn -> Batcher.get(self()) != batcher end)
    Batcher.enqueue(Batcher.get(self()), :zen_a, :done)
    assert batch() == [{:zen_a, :done}]
  end

  test "a Batcher stops when its Connector does, and what waits is dropped" do
    Batcher.sweep_interval(20)
    Batcher.chunk_size(1)
    connector = spawn(fn -> Process.sleep(:infinity) end)
    batcher = Batcher.get(connector)
    for number <- 1..1_000, do: Batcher.enqueue(batcher, :zen_a, number)
    monitor = Process.monitor(batcher)
    Process.exit(connector, :kill)
    assert_receive {:DOWN, ^monitor, :process, _, {:shutdown, :connector_down}}

    refute Enum.any?(DynamicSupervisor.which_children(Batcher.supervisor()), fn {_, pid, _, _} ->
             pid == batcher
           end)
  end

  test "settings are read back, and refused when they cannot work" do
    for {get, put} <- [
          {&Batcher.sweep_interval/0, &Batcher.sweep_interval/1},
          {&Batcher.chunk_size/0, &Batcher.chunk_size/1},
          {&Batcher.lookup_timeout/0, &Batcher.lookup_timeout/1}
        ] do
      assert put.(77) == :ok
      assert get.() == 77
      for bad <- [0, -1, 1.5, :no, nil], do: assert_raise(ArgumentError, fn -> put.(bad) end)
      assert get.() == 77
    end
  end

  defp batch do
    assert_receive {:dead, node, certificates} when node == node()
    certificates
  end

  # The Batcher of this process, with a trace of what it sends.
  defp traced_batcher do
    batcher = Batcher.get(self())
    :erlang.trace(batcher, true, [:send, :monotonic_timestamp])
    batcher
  end

  # The next certificates that it sends, and when, in milliseconds. This process may receive them later.
  defp sent(batcher) do
    assert_receive {:trace_ts, ^batcher, :send, {:dead, _, certificates}, _, time}
    {System.convert_time_unit(time, :native, :millisecond), certificates}
  end

  defp batches(amount) when amount <= 0, do: []

  defp batches(amount) do
    certificates = batch()
    certificates ++ batches(amount - length(certificates))
  end

  defp total(batches), do: batches |> Enum.map(&length(elem(&1, 1))) |> Enum.sum()

  defp encoded(number), do: :erlang.term_to_binary({:zen_a, number})

  defp kill(connector) do
    batcher = Batcher.get(connector)
    Process.exit(batcher, :kill)
    wait_until(fn -> Batcher.get(connector) != batcher end)
  end

  defp keep_killing(connector) do
    connector |> Batcher.get() |> Process.exit(:kill)
    Process.sleep(10)
    keep_killing(connector)
  end

  defp missing(targets) do
    if MapSet.size(targets) == 0 do
      0
    else
      receive do
        {:dead, _, certificates} ->
          certified = for {target, :done} <- certificates, into: MapSet.new(), do: target
          targets |> MapSet.difference(certified) |> missing()
      after
        20_000 -> MapSet.size(targets)
      end
    end
  end
end
