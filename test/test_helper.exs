ZenMonitor.Cluster.start_distribution()
Application.put_all_env(zen_monitor: ZenMonitor.Cluster.configured())
{:ok, _} = Application.ensure_all_started(:zen_monitor)

# What is received is waited for as long as a busy machine may need.
ExUnit.start(capture_log: true, exclude: :soak, assert_receive_timeout: 10_000)
