defmodule Bench.Waiting do
  @moduledoc false

  # Milliseconds between two looks.
  @pause 10

  @doc "Waits until a condition holds, and fails when it has not after so many looks: by default 30 s."
  @spec until((() -> boolean), pos_integer) :: :ok
  def until(condition, looks \\ 3_000) do
    cond do
      condition.() -> :ok
      looks == 0 -> raise "the condition did not come to hold: #{inspect(condition)}"
      true -> Process.sleep(@pause) && until(condition, looks - 1)
    end
  end
end
