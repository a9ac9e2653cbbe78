defmodule ZenMonitor.NamesTest do
  # Names of nodes come and go with every deployment, and what is kept of each must be next to nothing.
  use ZenMonitor.Case

  alias ZenMonitor.Local.{Connector, Connectors, Dispatcher}

  @names 20_000
  # Names that are used at a time. The tables keep the room for all monitors that have stood at once.
  @round 2_000
  @rounds_before 6
  # Bytes.
  @most 200

  setup do
    ZenMonitor.idle_timeout(1)
    Connector.sweep_interval(1)
    Dispatcher.demand_interval(1)
  end

  test "of nodes that were never connected take 200 bytes each" do
    assert growth(&{:"name_#{&2}", &1}) < @most * @names
  end

  test "of nodes whose processes were monitored take 200 bytes each" do
    assert growth(&pid_of/2) < @most * @names
  end

  # By how many bytes new names make the native memory grow, once the tables have grown to the size of a round.
  defp growth(destination) do
    known = names(:known, @round)
    unknown = names(:unknown, @names)

    for number <- 1..@rounds_before,
        do: known |> Enum.map(&destination.(&1, number)) |> come_and_go()

    before = native_memory()

    for names <- Enum.chunk_every(unknown, @round) do
      names |> Enum.map(&destination.(&1, 0)) |> come_and_go()
    end

    assert length(Native.survey_nodes()) >= @round + @names
    native_memory() - before
  end

  # Atoms take no native memory, so it does not matter whether an earlier test has made them.
  defp names(kind, amount), do: for(number <- 1..amount, do: :"zen_#{kind}_#{number}@nowhere")

  # Half of the monitors are removed, and the others fire.
  defp come_and_go(destinations) do
    refs = for destination <- destinations, do: ZenMonitor.monitor(destination)
    {removed, left} = Enum.split(refs, div(length(refs), 2))
    for ref <- removed, do: ZenMonitor.demonitor(ref, [:flush])
    reasons = downs(left)
    assert Enum.all?(left, &(reasons[&1] == :nodedown))
    wait_until(fn -> DynamicSupervisor.which_children(Connectors.supervisor()) == [] end)
  end

  # A pid of a node that does not exist.
  defp pid_of(node, number) do
    name = Atom.to_string(node)
    # The numbers are far apart, because neighbours would share a part of the table.
    numbers = <<1_000 * number::32, 0::32, 1::32>>
    :erlang.binary_to_term(<<131, ?X, ?w, byte_size(name), name::binary, numbers::binary>>)
  end

  defp native_memory, do: Metrics.get("zen_monitor.native_memory")
end
