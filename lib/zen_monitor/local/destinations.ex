defmodule ZenMonitor.Local.Destinations do
  @moduledoc false
  # The argument of functions that take one destination or a list of them.

  @doc """
  The argument as a list. Raises `ArgumentError` if it is none, or an element is no destination. The caller checks
  it before it does anything, so a list that is refused changes nothing.
  """
  @spec list!(ZenMonitor.destination() | [ZenMonitor.destination()]) :: [
          ZenMonitor.destination()
        ]
  def list!(list) when is_list(list) do
    check!(list, list)
    list
  end

  def list!(destination), do: list!([destination])

  defp check!([pid | rest], list) when is_pid(pid), do: check!(rest, list)
  defp check!([name | rest], list) when is_atom(name), do: check!(rest, list)

  defp check!([{name, node} | rest], list) when is_atom(name) and is_atom(node) do
    check!(rest, list)
  end

  defp check!([], _list), do: :ok
  defp check!([other | _], _list), do: ZenMonitor.find_node(other)

  defp check!(_improper, list) do
    raise ArgumentError, "expected a proper list of destinations, got: #{inspect(list)}"
  end
end
