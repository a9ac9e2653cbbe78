ZenMonitor.Cluster.start_distribution()
{:ok, _} = Application.ensure_all_started(:zen_monitor)

ExUnit.start(capture_log: true, exclude: :soak)
