defmodule ZenMonitor.Malformed do
  @moduledoc false
  # What makes no sense is counted, reported once in a while, and otherwise ignored: a message that
  # anybody may send must not end a process that others rely on, nor fill the log.

  alias ZenMonitor.{Config, Native, Truncator}

  require Logger

  @doc "Notes messages, instructions or certificates that `process` ignores."
  @spec ignore([term], process :: module) :: :ok
  def ignore([], _process), do: :ok

  def ignore([first | _] = ignored, process) do
    if amount = Native.malformed(length(ignored), Config.get(:report_interval)) do
      Logger.warning(
        "#{inspect(process)} ignored #{excerpt(first)}. " <>
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
