defmodule ZenMonitor.ConfigTest do
  use ZenMonitor.Case

  import ExUnit.CaptureLog

  alias ZenMonitor.Local.{Connector, Dispatcher}
  alias ZenMonitor.Proxy.Batcher

  @max 4_294_967_295

  @settings [
    {Connector, :sweep_interval, :connector_sweep_interval, 100},
    {Connector, :chunk_size, :connector_chunk_size, 5_000},
    {Batcher, :sweep_interval, :batcher_sweep_interval, 100},
    {Batcher, :chunk_size, :batcher_chunk_size, 5_000},
    {Batcher, :lookup_timeout, :batcher_lookup_timeout, 30_000},
    {Dispatcher, :demand_interval, :demand_interval, 100},
    {Dispatcher, :demand_amount, :demand_amount, 1_000},
    {Dispatcher, :pacing, :pacing, false},
    {ZenMonitor, :idle_timeout, :idle_timeout, 300_000},
    {ZenMonitor, :nodedown_grace, :nodedown_grace, 0},
    {ZenMonitor.Local, :hibernation_threshold, :hibernation_threshold, 1_000}
  ]

  for {module, name, key, default} <- @settings do
    describe "#{inspect(module)}.#{name}" do
      test "is #{default} unless configured" do
        assert apply(unquote(module), unquote(name), []) == unquote(default)
      end

      test "is read from the application environment at every use" do
        Application.put_env(:zen_monitor, unquote(key), 12)
        assert apply(unquote(module), unquote(name), []) == 12
      end

      test "is put back there when it is set" do
        assert apply(unquote(module), unquote(name), [34]) == :ok
        assert apply(unquote(module), unquote(name), []) == 34
        assert Application.get_env(:zen_monitor, unquote(key)) == 34
      end

      test "refuses what cannot work" do
        good = [hibernation_threshold: 0, nodedown_grace: 0, idle_timeout: :infinity]
        bad = [0, -1, 1.5, 100.0, "100", nil, true, :infinity, [100], @max + 1]

        for bad <- bad -- Keyword.get_values(good, unquote(name)) do
          error =
            assert_raise ArgumentError, fn -> apply(unquote(module), unquote(name), [bad]) end

          assert error.message =~ inspect(unquote(key))
          assert error.message =~ "integer of at most #{@max}"
          assert error.message =~ "got: #{inspect(bad)}"
        end

        assert apply(unquote(module), unquote(name), []) == unquote(default)
      end
    end
  end

  describe "a configured value that cannot work" do
    for {key, bad} <- [
          gen_module: "GenServer",
          connector_sweep_interval: 0,
          connector_chunk_size: -5,
          batcher_sweep_interval: 1.0,
          batcher_chunk_size: "5000",
          batcher_lookup_timeout: :infinity,
          demand_interval: -1,
          demand_amount: nil,
          hibernation_threshold: -1,
          max_binary_size: 2,
          truncation_depth: -1,
          max_pending_instructions: 0,
          max_pending_certificates: :unlimited,
          proxy_holders: 0,
          proxy_holders: 129,
          proxy_holders: :cores,
          report_interval: :infinity,
          connector_sweep_interval: @max + 1,
          connector_chunk_size: @max + 1,
          batcher_sweep_interval: @max + 1,
          batcher_chunk_size: @max + 1,
          batcher_lookup_timeout: @max + 1,
          demand_interval: @max + 1,
          demand_amount: 100_000_000_000_000_000_000,
          hibernation_threshold: @max + 1,
          max_binary_size: @max + 1,
          idle_timeout: 0,
          idle_timeout: @max + 1,
          pacing: 0,
          pacing: true,
          pacing: @max + 1,
          wire: :v3,
          sweep: :sometimes,
          sweep: [],
          sweep: [connector: :sometimes],
          sweep: [proxy: :periodic],
          sweep: [:periodic],
          truncation_depth: 100_000_000_000_000_000_000
        ] do
      test "is refused at start: #{key} as #{inspect(bad)}" do
        Application.stop(:zen_monitor)
        Application.put_env(:zen_monitor, unquote(key), unquote(bad))

        assert {:error, reason} = start_supervised(ZenMonitor.Supervisor)
        assert inspect(reason, limit: :infinity) =~ "ArgumentError"
        message = Regex.replace(~r/\\\\"/, inspect(reason, limit: :infinity), "\"")
        assert message =~ inspect(unquote(key))
        assert message =~ "got: "

        assert capture_log(fn ->
                 assert {:error, {:zen_monitor, _}} = Application.ensure_all_started(:zen_monitor)
               end)

        Application.delete_env(:zen_monitor, unquote(key))
      end
    end

    test "is named by the error of start_link/1, with what is accepted" do
      Application.stop(:zen_monitor)
      Application.put_env(:zen_monitor, :demand_amount, -7)
      Process.flag(:trap_exit, true)

      capture_log(fn ->
        assert {:error, {%ArgumentError{message: message}, _}} =
                 ZenMonitor.Supervisor.start_link([])

        assert message =~ ":demand_amount"
        assert message =~ "a positive integer of at most #{@max}"
        assert message =~ "got: -7"
      end)

      Application.delete_env(:zen_monitor, :demand_amount)
    end
  end

  test "values at the edge of what works are accepted at start" do
    Application.stop(:zen_monitor)

    for {key, value} <- [
          connector_chunk_size: 1,
          batcher_chunk_size: 1,
          demand_amount: 1,
          demand_interval: 1,
          connector_sweep_interval: 1,
          batcher_sweep_interval: 1,
          hibernation_threshold: 0,
          max_binary_size: 3,
          truncation_depth: 0,
          idle_timeout: 1,
          pacing: 1
        ] do
      Application.put_env(:zen_monitor, key, value)
    end

    start_supervised!(ZenMonitor.Supervisor)
    pids = PeerScript.targets(50)
    refs = for pid <- pids, do: ZenMonitor.monitor(pid)
    wait_until_watched(pids)
    PeerScript.kill(pids)
    assert Enum.uniq(for ref <- refs, do: reason(ref)) == [:truncated]
  end

  test "the largest values that are accepted work" do
    Application.stop(:zen_monitor)

    for key <- [
          :connector_sweep_interval,
          :connector_chunk_size,
          :batcher_sweep_interval,
          :batcher_chunk_size,
          :batcher_lookup_timeout,
          :demand_interval,
          :demand_amount,
          :hibernation_threshold,
          :max_binary_size,
          :truncation_depth,
          :idle_timeout,
          :pacing
        ] do
      Application.put_env(:zen_monitor, key, @max)
    end

    start_supervised!(ZenMonitor.Supervisor)
    assert Process.alive?(Batcher.get(self()))
    target = PeerScript.target()
    ref = watch(target)
    send(target, {:exit, {:deep, [[[[[:reason]]]]]}})
    assert reason(ref) == {:deep, [[[[[:reason]]]]]}
    # There is budget left for a second delivery within the interval.
    assert reason(ZenMonitor.monitor(target)) == :noproc
  end
end
