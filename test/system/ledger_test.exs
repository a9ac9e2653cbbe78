defmodule ZenMonitor.LedgerTest do
  # The seed is ExUnit's: `mix test test/ledger_test.exs --seed 123` repeats every choice, though not
  # the scheduling.
  use ZenMonitor.Case

  alias ZenMonitor.Ledger

  @moduletag timeout: :infinity

  test "every monitor ends as it must, and nothing is left" do
    sum = Ledger.run(seed(), 200_000, steps: 6_000)
    # Monitors have fired for each kind of reason.
    assert %{rounds: rounds, exit: _, noproc: _, nodedown: _} = sum
    assert rounds >= 3
  end

  @tag :soak
  test "every monitor ends as it must, over ten million operations" do
    sum = Ledger.run(seed(), 10_000_000, steps: 30_000, progress: &report/1)
    assert sum.operations >= 10_000_000
  end

  defp seed, do: ExUnit.configuration()[:seed]

  defp report(sum), do: IO.puts("#{inspect(sum)} with seed #{seed()}")
end
