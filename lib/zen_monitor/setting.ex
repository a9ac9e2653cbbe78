defmodule ZenMonitor.Setting do
  @moduledoc false
  # A pair of public functions for one key of the configuration: one that reads it and one that sets it.

  alias ZenMonitor.Config

  @doc "Defines `name/0`, documented by `doc`, and `name/1`, which sets `key`."
  defmacro setting(name, key, type, doc) do
    quote do
      @doc unquote(doc)
      @spec unquote(name)() :: unquote(type)
      def unquote(name)(), do: Config.get(unquote(key))

      @doc """
      Changes `#{unquote(name)}/0`, from the next sweep on.

      Raises `ArgumentError` unless the value is #{Config.accepted(unquote(key))}.
      """
      @spec unquote(name)(unquote(type)) :: :ok
      def unquote(name)(value), do: Config.put(unquote(key), value)
    end
  end
end
