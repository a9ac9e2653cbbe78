defmodule ZenMonitor.Malformed do
  @moduledoc false
  # Malformed input is counted, reported once in `report_interval`, and otherwise ignored. A message that
  # anybody may send must neither end a process that others rely on, nor fill the log.

  alias ZenMonitor.{Config, Native, Truncator}

  require Logger

  @doc "Notes messages, instructions or certificates that `process` ignores, and the node they came from if known."
  @spec ignore([term], process :: module, node | nil) :: :ok
  def ignore(ignored, process, node \\ nil)

  def ignore([], _process, _node), do: :ok

  def ignore([first | _] = ignored, process, node) do
    if amount = Native.malformed(length(ignored), Config.get(:report_interval)) do
      origin = if node, do: " from #{inspect(node)}", else: ""

      Logger.warning(
        "#{inspect(process)} ignored #{excerpt(first)}#{origin}. " <>
          "#{amount} malformed or unknown messages, instructions or certificates have been ignored " <>
          "since the last report"
      )
    end

    :ok
  end

  # It is short, whatever the size and depth of the term. The term came from outside, so no code of a struct runs.
  defp excerpt(term) do
    [outline] = Truncator.truncate([term])
    inspect(outline, limit: 5, printable_limit: 100, structs: false)
  end
end
