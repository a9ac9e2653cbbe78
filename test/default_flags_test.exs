# What other files test between nodes, once more between nodes with OTP's default flags: all connect to
# all, and `global` has them agree on who is connected. For the second list `mix test` has no time.
for {names, opts} <- [
      {~w(crash ledger link node_death), []},
      {~w(differences fairness hostile idle info local local/connector local/dispatcher metrics
          options slow storm telemetry top upgrade zen_monitor), [soak: true]}
    ],
    name <- names do
  __DIR__ |> Path.join("#{name}_test.exs") |> ZenMonitor.Case.with_default_flags(opts)
end
