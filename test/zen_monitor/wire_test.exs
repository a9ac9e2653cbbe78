defmodule ZenMonitor.WireTest do
  # What two nodes of version 3 send each other, and what they send to version 2.
  use ZenMonitor.Case

  import ExUnit.CaptureLog

  alias ZenMonitor.{GenModuleSpy, Local.Connector, Proxy, ProxyOfVersion2}

  @many 1_000

  describe "two nodes of this version" do
    test "say all of pids in runs, both ways" do
      peer = start_connected_peer()
      assert ZenMonitor.connect(peer.node) == :compatible
      connector = trace(peer)
      targets = on(peer, :targets, [@many])
      refs = watch_all(targets)
      sent = sent(connector, @many)

      assert Enum.all?(sent, fn {1, ^connector, parts} ->
               Enum.all?(parts, fn <<0x10, _::binary>> -> true end)
             end)

      bytes = for {_, _, parts} <- sent, part <- parts, do: byte_size(part)
      assert Enum.sum(bytes) <= 4 * @many

      on(peer, :kill, [targets])
      assert downs(refs) == Map.new(refs, &{&1, :killed})
      bytes = for {runs, {:killed}} <- certificates(peer, []), do: byte_size(runs)
      assert Enum.sum(bytes) in @many..(4 * @many)
    end

    test "take back what they have said" do
      peer = start_connected_peer()
      [kept, removed] = on(peer, :targets, [2])
      [ref, other] = watch_all([kept, removed])
      connector = trace(peer)
      ZenMonitor.demonitor(other)
      assert [{1, ^connector, [<<0x11, _::binary>>]}] = sent(connector, 1)
      wait_until(fn -> not watched?(removed) end)
      on(peer, :kill, [[removed, kept]])
      assert downs([ref]) == %{ref => :killed}
    end

    test "mix pids, names and reasons of all kinds, and lose none" do
      peer = start_connected_peer()
      named = for n <- 1..20, do: on(peer, :named_target, [:"zen_monitor_wire_#{n}"])
      plain = on(peer, :targets, [600])
      names = for n <- 1..20, do: {:"zen_monitor_wire_#{n}", peer.node}
      {some, others} = Enum.split(plain, 300)
      destinations = some ++ names ++ others
      refs = for destination <- destinations, do: {ZenMonitor.monitor(destination), destination}
      wait_until_watched(plain)

      # More reasons than may come with one binary. Some take turns, and one is large.
      exits =
        for {pid, n} <- Enum.with_index(some ++ named ++ others) do
          reason = if rem(n, 2) == 0, do: {:number, n}, else: :again
          {pid, if(n == 7, do: {:shutdown, Enum.to_list(1..50_000)}, else: reason)}
        end

      for {pid, reason} <- exits, do: send(pid, {:exit, reason})
      reasons = downs(for {ref, _} <- refs, do: ref)

      for {{ref, _}, {_, reason}} <- Enum.zip(refs, exits), do: assert(reasons[ref] == reason)
    end

    test "agree on what is of which life of a node" do
      peer = start_connected_peer()
      target = on(peer, :target)
      ref = watch(target)
      # A pid with the numbers of a living process, and another creation.
      former = with_creation(target, &rem(&1 + 1, 0x7FFF_FFFF))
      assert former != target
      other = ZenMonitor.monitor(former)
      assert down(other) == {former, :noproc}

      # A certificate with another creation fires nothing.
      {id, serial, creation} = numbers(target)
      connector = Connector.get_for_node(peer.node)
      for life <- [creation + 1, creation], do: certify(connector, run(2, 0, life, id, serial))
      assert reason(ref) == :made_up
      refute_received {:DOWN, _, _, _, _}
      assert watched?(target)
    end
  end

  for {own, remote} <- [compact: :v2, v2: :compact, v2: :v2] do
    test "a node that is to speak as version 2 does, does so: #{own} here, #{remote} there" do
      ZenMonitor.Config.put(:wire, unquote(own))
      peer = start_connected_peer(env: [wire: unquote(remote)])
      assert ZenMonitor.connect(peer.node) == :compatible
      connector = trace(peer)
      targets = on(peer, :targets, [3])
      [first | _] = refs = watch_all(targets)

      instructions =
        for {^connector, list} <- sent(connector, 3), instruction <- list, do: instruction

      assert instructions == for(target <- targets, do: {:subscribe, target})
      name = ZenMonitor.monitor({:nobody, peer.node})
      assert down(name) == {{:nobody, peer.node}, :noproc}
      [target | _] = targets
      on(peer, :kill, [[target]])
      assert reason(first) == :killed
      node = peer.node
      assert_receive {:trace, _, :receive, {:dead, ^node, [{^target, :killed}]}}
      for ref <- refs, do: ZenMonitor.demonitor(ref)

      # And in the other direction.
      own = PeerScript.target()
      watcher = on(peer, :watcher)
      on(peer, :place, [watcher, own])
      wait_until_watched(own)
      PeerScript.kill([own])
      wait_until(fn -> on(peer, :downs, [watcher]) == %{{own, :killed} => 1} end)
    end
  end

  describe "version 2" do
    setup do
      peer = start_connected_peer(application: false)
      Cluster.call(peer, ProxyOfVersion2, :start, [])
      %{peer: peer, targets: on(peer, :targets, [3])}
    end

    test "sees nothing that it does not know", %{peer: peer, targets: [first, second, third]} do
      refs = for target <- [first, second, third], do: ZenMonitor.monitor(target)
      name = ZenMonitor.monitor({:somebody, peer.node})
      connector = Connector.get_for_node(peer.node)
      wait_until(fn -> length(instructions(peer)) == 4 end)
      ZenMonitor.demonitor(hd(refs))
      wait_until(fn -> length(instructions(peer)) == 5 end)

      subscribed =
        for target <- [first, second, third, {:somebody, peer.node}], do: {:subscribe, target}

      assert instructions(peer) == subscribed ++ [{:unsubscribe, first}]

      for message <- Cluster.call(peer, ProxyOfVersion2, :received, []) do
        assert match?({:"$gen_call", {pid, _tag}, :ping} when is_pid(pid), message) or
                 match?({:"$gen_cast", {:process, ^connector, list}} when is_list(list), message)
      end

      certificates = [{second, :late}, {{:somebody, peer.node}, :gone}]
      send(connector, {:dead, peer.node, certificates})
      assert reason(Enum.at(refs, 1)) == :late
      assert reason(name) == :gone
    end

    test "subscribes here, and is told in its own way", %{peer: peer} do
      connector = on(peer, :watcher)
      [target, named] = [PeerScript.target(), PeerScript.named_target(:zen_monitor_wire)]
      subscribed = for of <- [target, {:zen_monitor_wire, node()}], do: {:subscribe, of}
      Cluster.call(peer, GenServer, :cast, [{Proxy, node()}, {:process, connector, subscribed}])
      for pid <- [target, named], do: wait_until_watched(pid)
      PeerScript.kill([target, named])

      certificates = fn ->
        for {:dead, _, list} <- on(peer, :received, [connector]), of <- list, do: of
      end

      wait_until(fn -> length(certificates.()) == 2 end)

      assert Enum.sort(certificates.()) ==
               Enum.sort([{target, :killed}, {{:zen_monitor_wire, node()}, :killed}])
    end

    defp instructions(peer) do
      for {:"$gen_cast", {:process, _, instructions}} <-
            Cluster.call(peer, ProxyOfVersion2, :received, []),
          instruction <- instructions,
          do: instruction
    end
  end

  test "a module of one's own in place of GenServer gets what it always got, at any time" do
    peer = start_connected_peer()
    [first, second, third] = targets = on(peer, :targets, [3])
    ref = watch(first)
    GenModuleSpy.watch()
    other = watch(second)
    proxy = {Proxy, peer.node}
    assert_received {:spy_cast, ^proxy, {:process, _, [{:subscribe, ^second}]}}
    refute_received {:spy_call, ^proxy, _}
    ZenMonitor.gen_module(GenServer)
    last = watch(third)
    refute_received {:spy_cast, ^proxy, _}
    on(peer, :kill, [targets])
    assert downs([ref, other, last]) == Map.new([ref, other, last], &{&1, :killed})

    # Its ping is the one of version 2.
    peer = start_connected_peer()
    ZenMonitor.gen_module(GenModuleSpy)
    proxy = {Proxy, peer.node}
    ref = peer |> on(:target) |> watch()
    assert_received {:spy_call, ^proxy, :ping}
    assert_received {:spy_cast, ^proxy, {:process, _, [{:subscribe, _}]}}
    ZenMonitor.demonitor(ref)
  end

  describe "a name" do
    setup do
      peer = start_connected_peer()
      %{peer: peer, name: {:zen_monitor_wire, peer.node}}
    end

    test "that another process has by now is not fired by the certificate of the former",
         context do
      %{peer: peer, name: name} = context
      first = on(peer, :named_target, [:zen_monitor_wire])
      ref = watch_name(name, first)
      # The Connector is suspended, so that certificates of the peer wait.
      connector = Connector.get_for_node(peer.node)
      :sys.suspend(connector)
      on(peer, :kill, [[first]])
      wait_until(fn -> message_waits?(connector, :dead) end)
      ZenMonitor.demonitor(ref)
      second = on(peer, :named_target, [:zen_monitor_wire])
      again = ZenMonitor.monitor(name)
      :sys.resume(connector)
      wait_until_watched(second)
      refute_receive {:DOWN, _, _, _, _}, 200
      on(peer, :kill, [[second]])
      assert downs([again]) == %{again => :killed}
    end

    test "is told with the number that it was subscribed with", %{peer: peer, name: name} do
      ZenMonitor.connect(peer.node)
      connector = trace(peer)
      target = on(peer, :named_target, [:zen_monitor_wire])
      ref = watch_name(name, target)
      assert [{1, ^connector, [[{:subscribe, ^name, number}]]}] = sent(connector, 1)
      node = peer.node

      for wrong <- [number - 1, number + 1] do
        send(connector, {:dead, 1, node, [[{name, wrong, :wrong}]]})
      end

      on(peer, :kill, [[target]])
      assert reason(ref) == :killed
      assert_received {:trace, _, :receive, {:dead, 1, ^node, [[{^name, ^number, :killed}]]}}
      again = ZenMonitor.monitor(name)
      assert reason(again) == :noproc
      assert [{1, ^connector, [[{:subscribe, ^name, other}]]}] = sent(connector, 1)
      assert other != number
    end
  end

  describe "what is malformed" do
    setup do
      peer = start_connected_peer()
      target = on(peer, :target)
      %{peer: peer, target: target, ref: watch(target), connector: Connector.get(target)}
    end

    test "among instructions is counted, and the rest is carried out", %{peer: peer} do
      connector = on(peer, :watcher)
      targets = for _ <- 1..6, do: PeerScript.target()
      [a, b, c, d, e, f] = for target <- targets, do: subscribe(target)

      # A run of too many pids, a run of certificates, a run of a later version, and a run that breaks off.
      too_many = <<0x10, 0::32, 64>> <> :binary.copy(<<2>>, 65)
      cut = binary_part(b, 0, byte_size(b) - 1)
      two = <<0x10, creation()::32, 1>> <> binary_part(c, 6, byte_size(c) - 6)

      parts = [
        a <> too_many <> a,
        <<0x12, 0, 0::32, 0, 2>> <> b,
        <<0x20>> <> c,
        cut,
        two <> <<0x80>>,
        <<>>,
        [{:subscribe, Enum.at(targets, 3), :no_number}, {:subscribe, Enum.at(targets, 3)}],
        :nonsense,
        d <> <<0xFF>>,
        e | f
      ]

      {counted, log} = ignored(fn -> cast(peer, {:process, 1, connector, parts}) end)
      assert counted == 9
      assert log =~ "malformed"
      assert for(target <- targets, do: watched?(target)) == [true, true, true, true, true, false]
      # A message of a version that it does not read is ignored as a whole.
      assert {1, _} = ignored(fn -> cast(peer, {:process, 2, connector, [f]}) end)
    end

    test "among certificates is counted, and the rest is carried out", context do
      %{peer: peer, connector: connector, target: target, ref: ref} = context
      others = on(peer, :targets, [3])
      refs = watch_all(others)
      [a, b, c] = for other <- others, do: dead(other)
      last = dead(target)
      <<_, _, rest::binary>> = b

      parts = [
        {a <> <<0x10, 0::32, 0, 2>> <> <<0x12, 9>> <> rest, {:good}},
        {b <> <<0x12, 0, 0xFFFF_FFFF::32, 0, 2>>, {:good}},
        {c, {}},
        {c, :nonsense},
        {:nonsense, {:good}},
        {c, :erlang.make_tuple(257, :good)},
        [:nonsense],
        :nonsense,
        {c <> <<0x12>>, {:good}},
        {last, {:good}} | :nonsense
      ]

      message = {:dead, 1, peer.node, parts}

      {counted, _} =
        ignored(fn ->
          send(connector, message)
          :sys.get_state(connector)
        end)

      assert counted == 11
      for ref <- [ref | refs], do: assert(reason(ref) == :good)
    end

    test "at random ends no process", %{
      peer: peer,
      connector: connector,
      target: target,
      ref: ref
    } do
      proxy = Process.whereis(Proxy)

      capture_log(fn ->
        for _ <- 1..3_000 do
          bytes = :rand.bytes(:rand.uniform(60))
          runs = Enum.random([bytes, <<Enum.random(0x10..0x12)>> <> bytes, dead(self()) <> bytes])
          send(connector, {:dead, 1, peer.node, [{runs, Enum.random([{}, {:a}, {:a, :b, :c}])}]})
          GenServer.cast(proxy, {:process, 1, self(), [runs]})
        end

        :sys.get_state(connector)
        :sys.get_state(proxy)
      end)

      assert Process.whereis(Proxy) == proxy and Connector.get(target) == connector
      on(peer, :kill, [[target]])
      assert {^target, _} = down(ref)
    end
  end

  defp trace(peer) do
    connector = Connector.get_for_node(peer.node)
    :erlang.trace(connector, true, [:send, :receive])
    connector
  end

  # The messages of a Connector, until they have so many instructions. Each instruction takes at least one byte.
  defp sent(_connector, amount) when amount <= 0, do: []

  defp sent(connector, amount) do
    assert_receive {:trace, ^connector, :send, {:"$gen_cast", message}, _}, 10_000

    case message do
      {:process, ^connector, list} ->
        [{connector, list} | sent(connector, amount - length(list))]

      {:process, version, ^connector, parts} ->
        [{version, connector, parts} | sent(connector, amount - pids(parts))]
    end
  end

  defp pids(parts),
    do: Enum.sum(Enum.map(parts, &if(is_list(&1), do: length(&1), else: runs(&1))))

  # How many pids a binary of runs has.
  defp runs(<<_kind, _creation::32, count, rest::binary>>), do: count + 1 + skip(rest, count + 1)
  defp runs(<<>>), do: 0

  defp skip(rest, 0), do: runs(rest)

  defp skip(bytes, pids) do
    {number, rest} = varint(bytes)
    rest = if rem(number, 2) == 1, do: rest |> varint() |> elem(1), else: rest
    skip(rest, pids - 1)
  end

  defp varint(<<1::1, low::7, rest::binary>>) do
    {high, rest} = varint(rest)
    {high * 128 + low, rest}
  end

  defp varint(<<0::1, number::7, rest::binary>>), do: {number, rest}

  defp certificates(peer, found) do
    node = peer.node

    receive do
      {:trace, _, :receive, {:dead, 1, ^node, parts}} -> certificates(peer, found ++ parts)
    after
      0 -> found
    end
  end

  defp watch_name(name, pid) do
    ref = ZenMonitor.monitor(name)
    wait_until_watched(pid)
    ref
  end

  defp message_waits?(process, tag) do
    {:messages, messages} = Process.info(process, :messages)
    Enum.any?(messages, &(elem(&1, 0) == tag))
  end

  defp certify(connector, run) do
    send(connector, {:dead, 1, node(connector), [{run, {:made_up}}]})
  end

  defp cast(peer, message) do
    # The call goes over the same connection as the cast, and so comes after it.
    Cluster.call(peer, :gen_server, :cast, [{Proxy, node()}, message])
    Cluster.call(peer, :gen_server, :call, [{Proxy, node()}, :ping])
    # The holders have been told by then what to do, and have done it when they answer.
    for holder <- Native.proxy_holders(), do: :sys.get_state(holder)
  end

  defp ignored(fun) do
    before = Native.malformed_count()
    log = capture_log(fun)
    {Native.malformed_count() - before, log}
  end

  # Runs of one process.
  defp subscribe(pid) do
    {id, serial, creation} = numbers(pid)
    run(0, nil, creation, id, serial)
  end

  defp dead(pid) do
    {id, serial, creation} = numbers(pid)
    run(2, 0, creation, id, serial)
  end

  defp run(kind, reason, creation, id, serial) do
    reason = if reason, do: <<reason>>, else: <<>>
    pid = if serial == 0, do: number(id * 4), else: number(id * 4 + 1) <> number(serial * 2)
    <<0x10 + kind>> <> reason <> <<creation::32, 0>> <> pid
  end

  defp number(number) when number < 128, do: <<number>>
  defp number(number), do: <<1::1, rem(number, 128)::7>> <> number(div(number, 128))

  defp numbers(pid) do
    encoded = :erlang.term_to_binary(pid)
    <<id::32, serial::32, creation::32>> = binary_part(encoded, byte_size(encoded), -12)
    {id, serial, creation}
  end

  defp creation, do: elem(numbers(self()), 2)

  defp with_creation(pid, change) do
    encoded = :erlang.term_to_binary(pid)
    <<creation::32>> = binary_part(encoded, byte_size(encoded), -4)
    head = binary_part(encoded, 0, byte_size(encoded) - 4)
    :erlang.binary_to_term(<<head::binary, change.(creation)::32>>)
  end
end
