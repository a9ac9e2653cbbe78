defmodule ZenMonitor.Local.Several do
  @moduledoc false
  # `ZenMonitor.monitor_all/2` and `ZenMonitor.demonitor_all/2`: many monitors at a time, each with a reference.

  alias ZenMonitor.{Local, Local.Connectors, Local.Destinations, Local.Options, Native}

  def monitor_all(destinations, options) when is_list(destinations) do
    list = Destinations.list!(destinations)

    case Options.parse!(options) do
      {false, {:DOWN, false}} -> place(list, false)
      {false, :bulk} -> place(list, true)
      # A tag or an alias is kept for each monitor, so there is nothing to gain from a list.
      _other -> Enum.map(list, &Local.monitor(&1, options))
    end
  end

  def monitor_all(other, _options) do
    raise ArgumentError, "expected a list of destinations to monitor, got: #{inspect(other)}"
  end

  def demonitor_all(refs, options) do
    check!(refs, refs)

    unless options in [[], [:flush]] do
      raise ArgumentError,
            "expected the options of demonitor_all/2 to be [] or [:flush], got: #{inspect(options)}"
    end

    {removed, others} = remove(refs, 0, [])
    if options == [:flush] and others != [], do: flush(Map.new(others, &{&1, nil}))
    removed
  end

  # The references are made before anything is monitored: then they are in the order of the list as they are.
  defp place(list, bulk?) do
    refs = references(list, [])
    place(list, refs, bulk?, refs)
    refs
  end

  defp place(list, refs, bulk?, all) do
    case Native.monitor_all(list, refs, bulk?, node()) do
      :ok ->
        :ok

      {rest, refs, unanswered} ->
        Enum.each(unanswered, &Connectors.start/1)
        if rest == :system_limit, do: give_up(all)
        if rest == [], do: :ok, else: place(rest, refs, bulk?, all)
    end
  end

  @spec give_up([reference]) :: no_return
  defp give_up(refs) do
    demonitor_all(refs, [:flush])
    :erlang.error(:system_limit)
  end

  defp references([_destination | rest], refs), do: references(rest, [make_ref() | refs])
  defp references([], refs), do: refs

  defp remove([], removed, others), do: {removed, others}

  defp remove(refs, removed, others) do
    {more, rest, others_of_slice} = Native.demonitor_all(refs)
    remove(rest, removed + more, others_of_slice ++ others)
  end

  defp flush(refs) do
    receive do
      {_, ref, _, _, _} when is_map_key(refs, ref) -> flush(refs)
    after
      0 -> if Native.has_bulk(), do: Local.flush_bulk(refs)
    end
  end

  defp check!([ref | rest], refs) when is_reference(ref), do: check!(rest, refs)
  defp check!([], _refs), do: :ok

  defp check!(_other, refs) do
    raise ArgumentError, "expected a list of references to demonitor, got: #{inspect(refs)}"
  end
end
