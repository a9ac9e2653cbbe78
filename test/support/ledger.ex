defmodule ZenMonitor.Ledger do
  @moduledoc false
  # Random monitors, removals, exits, deaths and faults between three nodes, with every monitor's fate
  # in a book.
  #
  # Subscribers are on this node and on a peer, targets on those and on a third. This node always has
  # OTP's default flags, the peers have those of the test. A run consists of
  # rounds. In each, the subscribers take their steps while targets die and faults happen; then all
  # faults are mended, all mortal targets are dead, and
  #
  # - every monitor of a mortal that was not removed must have fired, once;
  # - with the reason of that exit, or with `:noproc` after the exit (OS time), or with `:nodedown`
  #   if the link to that node was disturbed between its placing and its firing. A cut link that is
  #   mended within the `nodedown_grace` of the subscriber's node is no disturbance;
  # - no monitor that was removed, and none of an immortal without a disturbance, may have fired;
  # - all tables, queues and mailboxes of all nodes must be empty.

  alias ZenMonitor.{Cluster, Ledger.Faults, Ledger.Site}

  defmodule Member do
    @moduledoc false
    # `peer` is nil for this node, and `graceful?` says whether it rides out cut links.
    @enforce_keys [:index, :node, :peer]
    defstruct [:index, :node, :peer, graceful?: false]
  end

  @mortals 2_500
  @immortals 100
  # On each of two nodes: so many that every stage is busy while the faults happen.
  @workers 6
  # Every so many rounds, one of the nodes dies.
  @fells 3
  # In ms, none of them on every observer in turn: cuts are longer than the second, and shorter than the third.
  @graces [0, 20, 300_000]

  @doc """
  Runs until so many operations have been carried out, and returns what happened. Exits at the first
  violation. An operation is a monitor, a removal, an exit or a fault.
  """
  def run(seed, operations, opts \\ []) do
    progress = Keyword.get(opts, :progress, fn _ -> :ok end)
    plan = {seed, operations, Keyword.get(opts, :steps, 20_000), progress}
    {nodes, sum} = rounds(start(2), plan, 1, %{})
    Enum.each(nodes, &at(&1, Site, :stop, []))
    for %{peer: peer} when peer != nil <- nodes, do: Cluster.stop(peer)
    sum
  end

  @doc "Calls a function on a node, connected or not."
  def at(node, module, function, args, timeout \\ 60_000)
  def at(%Member{peer: nil}, module, function, args, _), do: apply(module, function, args)

  def at(member, module, function, args, t),
    do: Cluster.call(member.peer, module, function, args, t)

  @doc "Connects all nodes to all, after which `global` leaves them so."
  def mesh(nodes), do: Cluster.mesh(for(node <- nodes, do: node.peer || Cluster.here()))

  @doc "The nodes that have subscribers."
  def observers(nodes), do: Enum.filter(nodes, &(&1.index < 2))

  defp start(peers) do
    here = %Member{index: 0, node: node(), peer: nil}
    :ok = Site.start(0)
    Enum.reduce(1..peers, [here], &(&2 ++ [start_member(&1, &2, [])]))
  end

  defp start_member(index, others, opts) do
    peer = Cluster.start_peer(opts)
    member = %Member{index: index, node: peer.node, peer: peer}
    for other <- others, do: true = at(other, Node, :connect, [member.node])
    :ok = at(member, Site, :start, [index])
    member
  end

  # The last node dies and comes back under its name.
  defp fell(nodes) do
    {others, [last]} = Enum.split(nodes, -1)
    for member <- observers(others), do: at(member, Site, :disturb, [last.index])
    Cluster.kill(last.peer)
    for other <- others, do: Cluster.wait_until(fn -> not connected?(other, last) end)
    again = start_member(last.index, others, name: last.node)
    if Cluster.flags() == :default, do: mesh(others ++ [again])
    for member <- observers(others), do: :ok = at(member, Site, :calm, [last.index, last.node])
    {others ++ [again], [last.index]}
  end

  defp connected?(member, other), do: other.node in at(member, Node, :list, [:connected])

  defp rounds(nodes, {_, operations, _, _}, _round, %{operations: done} = sum)
       when done >= operations,
       do: {nodes, sum}

  defp rounds(nodes, {seed, _, steps, progress} = plan, round, sum) do
    {nodes, more} = round(nodes, steps, {seed, round})
    sum = Map.merge(sum, more, fn _, a, b -> a + b end)
    progress.(sum)
    rounds(nodes, plan, round + 1, sum)
  end

  defp round(nodes, steps, {seed, round}) do
    nodes = for member <- nodes, do: grace(member, round)
    # Who was never answered has no connection that could be lost.
    for observer <- observers(nodes),
        node <- nodes,
        do: :ok = at(observer, Site, :await_answer, [node.node], 180_000)

    planted = for member <- nodes, do: {member, at(member, Site, :plant, [@mortals, @immortals])}
    places = Enum.flat_map(planted, &places/1)
    for member <- nodes, do: at(member, Site, :reap, [])
    lanes = [Faults.harmless(nodes, {seed, round, 1}), Faults.disturbing(nodes, {seed, round, 2})]
    work = [places, @workers, steps, seed * 1_000_000 + round]
    nodes |> observers() |> everywhere(:work, work) |> accept()
    faults = Enum.sum(Enum.map(lanes, &Faults.stop/1))
    killed = nodes |> everywhere(:reaped, []) |> Enum.reduce(&Map.merge/2)
    {nodes, fallen} = if rem(round, @fells) == 0, do: fell(nodes), else: {nodes, []}
    accounts = nodes |> observers() |> everywhere(:settle, [fallen]) |> accept()
    nodes |> observers() |> everywhere(:close, []) |> accept()

    for %{noproc: noproc} <- accounts, {key, time} <- noproc do
      unless dead?(key, time, killed),
        do: violation("#{inspect(key)} fired :noproc while it lived")
    end

    for member <- nodes, do: at(member, Site, :clear, [])
    for member <- nodes, do: await_empty(member)
    {nodes, sum(accounts, map_size(killed), faults + length(fallen))}
  end

  defp sum(accounts, exits, faults) do
    operations = Enum.sum(Enum.map(accounts, & &1.operations)) + exits + faults
    sum = %{rounds: 1, operations: operations, faults: faults, exits: exits}
    Enum.reduce(accounts, sum, &Map.merge(&2, &1.fired, fn _, a, b -> a + b end))
  end

  defp grace(member, round) do
    grace = Enum.at(@graces, rem(member.index + round + div(round, @fells), 3))
    :ok = at(member, ZenMonitor, :nodedown_grace, [grace])
    %{member | graceful?: grace == List.last(@graces)}
  end

  defp places({member, {mortal, immortal}}) do
    of = &%{node: member.index, destination: &1, key: &2}
    mortal = for {destination, key} <- mortal, do: of.(destination, key)
    mortal ++ for destination <- immortal, do: of.(destination, nil)
  end

  defp everywhere(members, function, args) do
    members
    |> Enum.map(&Task.async(fn -> at(&1, Site, function, args, 600_000) end))
    |> Task.await_many(:infinity)
  end

  defp accept(answers) do
    for answers <- answers, answer <- answers do
      with {:violation, reason} <- answer, do: violation(reason)
    end
  end

  # Who lives for ever is in no list of the killed.
  defp dead?(key, time, killed), do: is_map_key(killed, key) and killed[key] <= time

  defp await_empty(member) do
    Cluster.wait_until(fn -> at(member, Site, :residue, []) == [] end)
  rescue
    _ -> violation({member.node, :left, at(member, Site, :residue, [])})
  end

  defp violation(what), do: exit({:violation, what})
end
