defmodule ZenMonitor.GenModuleSpy do
  @moduledoc false
  # Passes all on to `GenServer`, and reports it to the process that watches.

  @name __MODULE__

  @doc "Makes the calling process the one that is told, and this module the `gen_module`."
  def watch do
    Process.register(self(), @name)
    ZenMonitor.gen_module(__MODULE__)
  end

  def call(destination, request, timeout) do
    report({:spy_call, destination, request})
    GenServer.call(destination, request, timeout)
  end

  def cast(destination, message) do
    report({:spy_cast, destination, message})
    GenServer.cast(destination, message)
  end

  defp report(message), do: if(pid = Process.whereis(@name), do: send(pid, message))
end
