ZenMonitor.Cluster.start_distribution()
Application.put_all_env(zen_monitor: ZenMonitor.Cluster.configured())
{:ok, _} = Application.ensure_all_started(:zen_monitor)

ExUnit.start(capture_log: true, exclude: :soak)
