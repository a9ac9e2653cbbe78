defmodule ZenMonitor.Malformed do
  @moduledoc false
  # What makes no sense is counted, reported once in a while, and otherwise ignored: a message that
  # anybody may send must not end a process that others rely on, nor fill the log.

  alias ZenMonitor.{Config, Native, Truncator}

  require Logger

  @doc "Notes messages, instructions or certificates that `process` ignores, if known of which node."
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

  # Of whatever size and depth it is. As it came from outside, no code of a struct runs.
  defp excerpt(term) do
    [outline] = Truncator.truncate([term])
    inspect(outline, limit: 5, printable_limit: 100, structs: false)
  end
end
