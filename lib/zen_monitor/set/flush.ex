defmodule ZenMonitor.Set.Flush do
  @moduledoc false
  # Removes messages of a set from the mailbox of the calling process, and leaves all others in their places.

  @doc "Removes those of some destinations."
  def some(_set, []), do: :ok

  def some(%{bulk: true} = set, destinations), do: bulk(set.ref, objects(destinations))
  def some(set, [destination]), do: one(set.ref, object(destination))
  def some(set, destinations), do: each(set.ref, objects(destinations))

  @doc "Removes all."
  def all(%{ref: ref} = set) do
    receive do
      {_, ^ref, :process, _, _} -> all(set)
      {_, ^ref, :bulk, _} -> all(set)
    after
      0 -> :ok
    end
  end

  defp one(ref, object) do
    receive do
      {_, ^ref, :process, ^object, _} -> one(ref, object)
    after
      0 -> :ok
    end
  end

  defp each(ref, objects) do
    receive do
      {_, ^ref, :process, object, _} when is_map_key(objects, object) -> each(ref, objects)
    after
      0 -> :ok
    end
  end

  # Receiving a message to look for an entry would lose its place in the mailbox. So this looks first, without
  # receiving.
  defp bulk(ref, objects) do
    {:messages, messages} = Process.info(self(), :messages)

    messages
    |> Enum.filter(&match?({_, ^ref, :bulk, _}, &1))
    |> Enum.drop_while(fn {_, _, _, entries} -> not Enum.any?(entries, &gone?(&1, objects)) end)
    |> Enum.each(&replace(&1, objects))
  end

  defp replace({tag, ref, :bulk, entries} = message, objects) do
    receive do
      ^message -> :ok
    end

    left = Enum.reject(entries, &gone?(&1, objects))
    if left != [], do: send(self(), {tag, ref, :bulk, left})
  end

  defp gone?({object, _cause}, objects), do: is_map_key(objects, object)

  defp objects(destinations), do: Map.new(destinations, &{object(&1), nil})

  # The destination as messages name it.
  defp object(name) when is_atom(name), do: {name, node()}
  defp object(destination), do: destination
end
