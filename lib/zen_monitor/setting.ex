defmodule ZenMonitor.Setting do
  @moduledoc false
  # Defines two public functions for a key of the configuration: one reads it, the other sets it.

  alias ZenMonitor.{Config, StandIn}

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
      def unquote(name)(value) do
        Config.put(unquote(key), value)
        StandIn.note()
      end
    end
  end
end
