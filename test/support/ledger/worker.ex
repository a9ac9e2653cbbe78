defmodule ZenMonitor.Ledger.Worker do
  @moduledoc false
  # A subscriber that places and removes monitors at random, and keeps a book of them: what is in the
  # book must fire once, with an allowed reason; what is not must never fire. Some of them are members of its
  # set, and stand in the book by the reference of that and what they are of.

  alias ZenMonitor.{Ledger.Site, Set}

  # Monitors that one worker keeps, at most.
  @slots 2_000
  # Milliseconds without any `:DOWN` after which one that is missing will not come.
  @patience 60_000

  @enforce_keys [:places, :set]
  defstruct [:places, :set, book: %{}, slots: %{}, operations: 0, fired: %{}, noproc: %{}]

  def start(seed, places, steps) do
    site = self()

    spawn_monitor(fn ->
      :rand.seed(:exsss, seed)
      # A copy of a whole mailbox with every collection would be most of the work.
      Process.flag(:message_queue_data, :off_heap)
      state = work(%__MODULE__{places: List.to_tuple(places), set: Set.new()}, steps)
      send(site, {:worked, self(), state.operations})
      state = receive(do: ({:settle, fallen} -> settle(state, fallen)))
      account = Map.take(state, [:operations, :fired, :noproc])
      send(site, {:settle, self(), account})
      receive(do: ({:close, _} -> :ok))
      refute_another()
      if Set.size(state.set) != 0, do: violation("is left in a set", Set.to_list(state.set))
      send(site, {:close, self(), :ok})
    end)
  end

  @doc "Ends a mortal in the way that its number says."
  def end_of(pid, number) do
    case way(number) do
      :killed -> Process.exit(pid, :kill)
      :normal -> send(pid, :return)
      reason -> send(pid, {:exit, reason})
    end
  end

  defp way(number) do
    case rem(number, 4) do
      0 -> :killed
      1 -> :normal
      2 -> {:reaped, number}
      3 -> {:shutdown, {:reaped, number}}
    end
  end

  defp work(state, 0), do: state

  defp work(state, steps) do
    state = if rem(steps, 16) == 0, do: drain(state), else: state

    case :rand.uniform(1_000) do
      1 -> state |> mayfly() |> work(steps - 1)
      2 -> state |> stranger() |> work(steps - 1)
      _ -> state |> step(:rand.uniform(@slots)) |> work(steps - 1)
    end
  end

  defp step(state, slot) do
    case state.slots do
      %{^slot => ref} -> remove(state, slot, ref)
      %{} -> place(state, slot)
    end
  end

  defp place(state, slot) do
    place = elem(state.places, :rand.uniform(tuple_size(state.places)) - 1)
    # Before the monitor: a disturbance that begins in between counts for it.
    disturbances = Site.disturbances(place.node)
    ref = monitor(state, place.destination, :rand.uniform(3))
    book = Map.put(state.book, ref, {slot, place, disturbances})
    count(%{state | book: book, slots: Map.put(state.slots, slot, ref)}, 1)
  end

  defp monitor(%{set: set, book: book}, destination, 1)
       when not is_map_key(book, {set.ref, destination}) do
    if Set.put(set, destination) != 1, do: violation("was a member already", destination)
    {set.ref, destination}
  end

  defp monitor(_state, destination, _), do: ZenMonitor.monitor(destination)

  defp remove(state, slot, {_, destination} = member) do
    delete(state.set, destination, :rand.uniform(3))
    if Set.member?(state.set, destination), do: violation("is a member still", destination)
    forget(state, slot, member)
  end

  defp remove(state, slot, ref) do
    remove(ref, :rand.uniform(4))
    forget(state, slot, ref)
  end

  defp forget(state, slot, ref) do
    count(%{state | book: Map.delete(state.book, ref), slots: Map.delete(state.slots, slot)}, 1)
  end

  # May have fired before, and then the message is here.
  defp remove(ref, 1) do
    true = ZenMonitor.demonitor(ref)
    fired?(ref)
  end

  defp remove(ref, 2) do
    true = ZenMonitor.demonitor(ref, [:flush])
    if fired?(ref), do: violation("fired after demonitor with :flush", ref)
  end

  defp remove(ref, 3) do
    removed = ZenMonitor.demonitor(ref, [:info])
    if fired?(ref) == removed, do: violation("demonitor answered #{removed} wrongly", ref)
  end

  defp remove(ref, 4) do
    ZenMonitor.demonitor(ref, [:flush, :info])
    if fired?(ref), do: violation("fired after demonitor with :flush and :info", ref)
  end

  # Among others that are no members, or in a list of its own.
  defp delete(set, destination, 1) do
    Set.delete(set, [self(), destination, :zen_monitor_ledger_nobody], flush: true)
    if told?(set, destination), do: violation("fired after delete with flush: true", destination)
  end

  defp delete(set, destination, _) do
    deleted = Set.delete(set, destination)
    told = if told?(set, destination), do: 1, else: 0
    if deleted + told != 1, do: violation("was deleted #{deleted} times", destination)
  end

  defp told?(%{ref: ref}, object) do
    receive do
      {:DOWN, ^ref, _, ^object, _} -> true
    after
      0 -> false
    end
  end

  defp fired?(ref) do
    receive do
      {:DOWN, ^ref, _, _, _} -> true
    after
      0 -> false
    end
  end

  # Another subscriber, which dies with its monitors: soon, or when some of them have fired.
  defp mayfly(state) do
    places = for _ <- 1..8, do: elem(state.places, :rand.uniform(tuple_size(state.places)) - 1)
    life = :rand.uniform(40) - 20

    spawn(fn ->
      for place <- places, do: ZenMonitor.monitor(place.destination)
      Set.put(Set.new(), Enum.map(places, & &1.destination))
      if life > 0, do: Process.sleep(life)
    end)

    count(state, 9)
  end

  # A reference that was never a monitor.
  defp stranger(state) do
    if ZenMonitor.demonitor(make_ref(), [:info]), do: violation("removed a stranger", nil)
    count(state, 1)
  end

  defp drain(state) do
    receive do
      {:DOWN, _, _, _, _} = down -> state |> fired(down) |> drain()
    after
      0 -> state
    end
  end

  defp fired(%{set: %{ref: ref}} = state, {:DOWN, ref, :process, object, cause}) do
    fired(state, {:DOWN, {ref, object}, :process, object, cause})
  end

  defp fired(state, {:DOWN, ref, :process, object, {:zen_monitor, reason}}) do
    case Map.pop(state.book, ref) do
      {nil, _} ->
        violation("fired twice, or after its removal, with #{inspect(reason)}", ref)

      {{slot, place, disturbances}, book} ->
        if object != place.destination, do: violation("fired as #{inspect(object)}", place)
        fate = fate(reason, place, disturbances)
        fired = Map.update(state.fired, fate, 1, &(&1 + 1))
        noproc = note(fate, place, state.noproc)
        slots = Map.delete(state.slots, slot)
        %{state | book: book, slots: slots, fired: fired, noproc: noproc}
    end
  end

  defp fired(_state, down), do: violation("is no message of ours: #{inspect(down)}", nil)

  defp fate(:nodedown, place, {begun, active} = disturbances) do
    {now, _} = Site.disturbances(place.node)

    if active == 0 and begun == now do
      violation("fired :nodedown while nothing was wrong: #{inspect(disturbances)}", place)
    end

    :nodedown
  end

  # Whether it was dead by then is seen when the reaper tells.
  defp fate(:noproc, _place, _disturbances), do: :noproc

  defp fate(reason, %{key: {_, number}} = place, _disturbances) do
    if reason != way(number), do: violation("fired with #{inspect(reason)}", place)
    :exit
  end

  defp fate(reason, place, _),
    do: violation("of an immortal fired with #{inspect(reason)}", place)

  # Only the first `:noproc` of a target can be too early.
  defp note(:noproc, place, noproc) do
    Map.put_new_lazy(noproc, place.key || place.destination, &:os.system_time/0)
  end

  defp note(_fate, _place, noproc), do: noproc

  # By now every mortal is dead, and so is all on a fallen node. Other immortals do not fire, and
  # their monitors are removed.
  defp settle(state, fallen) do
    state =
      for {ref, {slot, %{key: nil} = place, _}} <- state.book,
          place.node not in fallen,
          reduce: state do
        state -> remove(state, slot, ref)
      end

    await(state)
  end

  defp await(%{book: book} = state) when map_size(book) == 0, do: state

  defp await(state) do
    receive do
      {:DOWN, _, _, _, _} = down -> state |> fired(down) |> await()
    after
      @patience -> violation("#{map_size(state.book)} never fired", Enum.take(state.book, 3))
    end
  end

  defp refute_another do
    receive do
      {:DOWN, ref, _, _, _} = down -> violation("fired too late: #{inspect(down)}", ref)
    after
      0 -> :ok
    end
  end

  defp count(state, operations), do: %{state | operations: state.operations + operations}

  defp violation(what, whose), do: exit("a monitor #{what} (#{inspect(whose)})")
end
