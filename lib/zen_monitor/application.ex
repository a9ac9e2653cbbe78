defmodule ZenMonitor.Application do
  @moduledoc false
  use Application

  @impl Application
  def start(_type, _args), do: ZenMonitor.Supervisor.start_link([])
end
