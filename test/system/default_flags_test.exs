# What other files test between nodes, once more between nodes with OTP's default flags: all connect to
# all, and `global` has them agree on who is connected. For the second list `mix test` has no time.
for {names, opts} <- [
      {~w(system/crash system/ledger system/link system/node_death), []},
      {~w(mix/top system/differences system/fairness system/hostile system/idle system/slow system/storm
          system/upgrade zen_monitor zen_monitor/info zen_monitor/local zen_monitor/local/connector
          zen_monitor/local/dispatcher zen_monitor/local/options zen_monitor/metrics zen_monitor/telemetry),
       [soak: true]}
    ],
    name <- names do
  "test" |> Path.join("#{name}_test.exs") |> ZenMonitor.Case.with_default_flags(opts)
end
