defmodule Bench.Scenario do
  @moduledoc false

  @doc "Measures, and fails if anything that must arrive does not, or anything else does."
  @callback run(Bench.Options.t()) :: Bench.Report.t()
end
