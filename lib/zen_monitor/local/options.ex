defmodule ZenMonitor.Local.Options do
  @moduledoc false
  # The options of `ZenMonitor.monitor/2`: what they mean, and which of them can be combined.

  @doc """
  Whether the reference is to be an alias, and what the NIF takes: `:bulk`, or the first element of
  the message with whether the reference is an alias. Raises `ArgumentError` for anything else.
  """
  @spec parse!([ZenMonitor.monitor_option()]) :: {alias? :: boolean, :bulk | {term, boolean}}
  def parse!(options) do
    given = collect(options, options, %{})
    alias? = Map.has_key?(given, :alias)
    {alias?, native(given, alias?)}
  end

  defp native(%{bulk: true} = given, _alias?) do
    if map_size(given) > 1 do
      raise ArgumentError,
            "bulk: true goes with no other option of monitor/2: its message is shared with other " <>
              "monitors, and so has no tag of its own"
    end

    :bulk
  end

  defp native(given, alias?), do: {Map.get(given, :tag, :DOWN), alias?}

  # This does not use `Enum`, whose error for an improper list would not help.
  defp collect([{:tag, tag} | rest], all, given),
    do: collect(rest, all, Map.put(given, :tag, tag))

  defp collect([{:bulk, false} | rest], all, given) do
    collect(rest, all, Map.delete(given, :bulk))
  end

  defp collect([{:bulk, true} | rest], all, given) do
    collect(rest, all, Map.put(given, :bulk, true))
  end

  defp collect([{:alias, :explicit_unalias} | rest], all, given) do
    collect(rest, all, Map.put(given, :alias, true))
  end

  defp collect([{:alias, mode} | _], _all, _given) when mode in [:demonitor, :reply_demonitor] do
    raise ArgumentError,
          "monitor/2 cannot honour alias: #{inspect(mode)}: only the process itself can end an " <>
            "alias, and it is ZenMonitor that sends the :DOWN. Use alias: :explicit_unalias, and " <>
            "call :erlang.unalias(ref) when the alias has served"
  end

  defp collect([], _all, given), do: given

  defp collect(_rest, all, _given) do
    raise ArgumentError,
          "expected the options of monitor/2 to be a list of tag: term, " <>
            "alias: :explicit_unalias and bulk: boolean, got: " <> inspect(all)
  end
end
