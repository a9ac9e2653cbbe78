defmodule ZenMonitor.StandIn do
  @moduledoc false
  # What those go by who stand in for a Batcher or the Dispatcher while it sleeps.
  #
  # After some silence, to read the settings in the application environment would take a tenth of the time from an exit to its
  # `:DOWN`. So they are noted natively: when they are set, whenever the stage comes to rest, after each time that
  # somebody has stood in for it, and when something new is monitored. A change by `Application.put_env/3` thus takes effect
  # with the second exit at the latest, and for whatever is monitored after it.

  alias ZenMonitor.{Native, Pace, Wire}

  @doc "Notes the settings of both stages, if ZenMonitor runs."
  @spec note() :: :ok
  def note do
    if Process.whereis(ZenMonitor.Supervisor), do: Enum.each([:batcher, :dispatcher], &note/1)
  end

  @doc "Notes the settings of a stage, as they are now."
  @spec note(:batcher | :dispatcher) :: :ok
  def note(stage) do
    # Two may read at the same time, and the one that has read first may note last. So whoever has changed anything
    # reads once more.
    if note_now(stage), do: note(stage), else: :ok
  end

  defp note_now(:batcher), do: Native.proxy_note(Pace.quota(:batcher), Wire.latest())
  defp note_now(:dispatcher), do: Native.dispatcher_note(Pace.quota(:dispatcher), Pace.share())
end
