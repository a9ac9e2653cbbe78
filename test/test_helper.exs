ZenMonitor.Cluster.start_distribution()
Application.put_all_env(zen_monitor: ZenMonitor.Cluster.configured())
{:ok, _} = Application.ensure_all_started(:zen_monitor)

# Messages are waited for, and tests may run, for as long as it may take on a busy machine. In ms.
ExUnit.start(capture_log: true, exclude: :soak, assert_receive_timeout: 10_000, timeout: 180_000)
