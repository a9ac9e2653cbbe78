defmodule ZenMonitor.NativeTest do
  # Only the modules of this package call the NIFs. Still, no argument may crash the VM or harm the tables.
  use ZenMonitor.Case

  import Bitwise

  alias ZenMonitor.Local.{Connector, Dispatcher}

  @garbage [
    nil,
    :atom,
    -1,
    0,
    1 <<< 70,
    1.5,
    "",
    "garbage",
    <<131>>,
    <<131, 90>>,
    <<131, 90, 0, 3>>,
    <<131, 88, 100>>,
    <<131, 104, 2, 90, 255, 255>>,
    <<131, 108, 255, 255, 255, 255>>,
    <<1::3>>,
    [],
    [1 | 2],
    [{1, 2} | 3],
    [[]],
    {},
    {1, 2},
    {:name, :node},
    %{},
    %{a: 1}
  ]

  # These replace the state, or load the library.
  @left_out [start: 0, stop: 0, free: 0, load: 0, module_info: 0, module_info: 1, __info__: 1]

  setup do
    %{target: PeerScript.target()}
  end

  test "their module is not loaded by the compiler, which may not have the configuration yet" do
    folder = Path.join(Mix.Project.build_path(), "native_test")
    File.mkdir_p!(folder)
    :code.purge(Native)
    Code.put_compiler_option(:ignore_module_conflict, true)

    on_exit(fn ->
      Code.put_compiler_option(:ignore_module_conflict, false)

      # Elixir 1.20 adds the folder to the code path, where later tests would find what has no debug information.
      Code.delete_path(folder)
    end)

    # As Mix does it, with what each version returns besides.
    compiled =
      Kernel.ParallelCompiler.compile_to_path(["lib/zen_monitor/native.ex"], folder,
        return_diagnostics: true
      )

    assert {:ok, [Native], _} = compiled
    # A module that is loaded anew makes the former one old.
    refute :erlang.check_old_code(Native)
  end

  test "garbage in one argument is refused, or does no harm", %{target: target} do
    ref = watch(target)

    for {function, arity} <- functions(), arity > 0, place <- 0..(arity - 1) do
      for garbage <- garbage() do
        arguments = List.replace_at(valid(function, arity), place, garbage)
        harmless(function, arguments)
      end
    end

    still_usable(target, ref)
  end

  test "garbage in all arguments is refused, or does no harm", %{target: target} do
    ref = watch(target)
    :rand.seed(:exsss, ExUnit.configuration()[:seed])

    for {function, arity} <- functions(), _ <- 1..200 do
      harmless(function, for(_ <- 1..arity//1, do: random(4)))
    end

    still_usable(target, ref)
  end

  test "damaged arguments are refused, or do no harm", %{target: target} do
    ref = watch(target)
    :rand.seed(:exsss, ExUnit.configuration()[:seed])

    for {function, arity} <- functions(), arity > 0, _ <- 1..200 do
      harmless(function, for(argument <- valid(function, arity), do: damaged(argument)))
    end

    still_usable(target, ref)
  end

  test "a monitor of garbage is refused" do
    for {subscriber, node, target, ref} <- [
          {:no_pid, ZenMonitor.Local, self(), make_ref()},
          {forged(), ZenMonitor.Local, self(), make_ref()},
          {self(), "node", self(), "garbage"},
          {self(), "node", :name, make_ref()},
          {self(), ZenMonitor.Local, "target", make_ref()},
          {self(), ZenMonitor.Local, self(), "garbage"},
          {self(), ZenMonitor.Local, self(), :no_ref},
          {self(), ZenMonitor.Local, self(), foreign_reference()},
          {self(), :other@node, 1, make_ref()},
          {self(), :other@node, forged(), make_ref()}
        ] do
      assert_raise ArgumentError, fn -> Native.monitor(subscriber, node, target, ref) end
    end

    assert standing() == 0
  end

  test "a demonitor of garbage removes nothing", %{target: target} do
    ref = watch(target)
    magic = :ets.new(:table, [])

    for garbage <- garbage() ++ [foreign_reference(), :erlang.alias(), magic] do
      refute Native.demonitor(garbage)
    end

    assert standing() == 1
    assert Native.demonitor(ref)
    assert standing() == 0
  end

  test "references and pids are read and made on the heap" do
    assert Native.reads_heap()
  end

  test "all works the same in the external format, in a VM that is built otherwise" do
    peer = start_connected_peer(env: [read_heap: false])
    refute Cluster.call(peer, Native, :reads_heap, [])
    watcher = on(peer, :watcher)
    [first, second] = PeerScript.targets(2)
    ref = on(peer, :place, [watcher, first])
    on(peer, :place, [watcher, second])
    wait_until_watched(second)
    assert Cluster.call(peer, Connector, :monitors, [first, watcher]) == [ref]
    assert on(peer, :remove, [watcher, second])
    PeerScript.kill([first, second])
    down = {:DOWN, ref, :process, first, {:zen_monitor, :killed}}
    wait_until(fn -> on(peer, :received, [watcher]) == [down] end)

    named = on(peer, :place, [watcher, {:nobody, node()}])
    unknown = {:DOWN, named, :process, {:nobody, node()}, {:zen_monitor, :noproc}}
    wait_until(fn -> on(peer, :received, [watcher]) == [down, unknown] end)

    # The same in the other direction, with instructions and certificates.
    target = on(peer, :target)
    ref = watch(target)
    Process.exit(target, :kill)
    assert down(ref) == {target, :killed}
  end

  # `{}` is the only tuple whose header is 0. `heap.rs` asserts at compile time that an unknown header is not 0. A test
  # cannot show that: since OTP 25 a VM has only one `{}`, and what lies behind it cannot be chosen.
  test "no term is taken for a pid, whether or not pids are read on the heap" do
    peer = start_connected_peer(env: [read_heap: false])
    destinations = destinations()

    for {call, node} <- [{&:erlang.apply/3, peer.node}, {&Cluster.call(peer, &1, &2, &3), node()}] do
      certificates = for destination <- destinations, do: {destination, :gone}
      certify = &call.(Native, :connector_certify, [node, &1, :none])
      assert malformed(certify, certificates) == certificates

      for destination <- destinations do
        assert_raise ArgumentError, fn ->
          call.(Native, :monitor, [call.(Kernel, :self, []), node, destination, make_ref()])
        end
      end
    end
  end

  # A call may also end because its time is up. Then the next one goes on with the rest.
  defp malformed(certify, certificates) do
    case certify.(certificates) do
      {:ok, [], malformed, 0} -> malformed
      {:ok, rest, malformed, 0} -> malformed ++ malformed(certify, rest)
    end
  end

  # All kinds of boxed terms, and some others.
  defp destinations do
    big = Integer.pow(2, 100)
    # Pids of two lives of another node.
    stranger = for creation <- 1..2, do: forged(creation)
    distant = <<131, 120, 100, 0, 5, "a@b.c", 7::64, 1::32>>
    ports = [hd(Port.list()), :erlang.binary_to_term(distant)]
    references = [make_ref(), :erlang.alias(), foreign_reference(), distant_reference()]
    long = String.duplicate("x", 100)
    maps = [%{}, %{a: 1}, Map.new(1..100, &{&1, &1})]
    tuples = [{}, {1}, {1, 2, 3}, Tuple.duplicate(:x, 5), Tuple.duplicate(:x, 1_000)]

    others = [
      1.5,
      big,
      -big,
      "",
      "x",
      long,
      <<1::3>>,
      fn -> big end,
      &is_atom/1
    ]

    foreign = stranger ++ ports ++ references

    maps ++
      tuples ++ others ++ foreign ++ [[], [1], [1 | 2], 1, {"name", node()}, {self(), node()}]
  end

  describe "a reason that takes long to encode" do
    setup do
      peer = start_connected_peer()
      target = on(peer, :target)
      %{peer: peer, target: target, ref: watch(target)}
    end

    test "is left to a dirty scheduler, whatever it is made of", %{peer: peer, target: target} do
      for heavy <- heavy() do
        certificates = [{target, heavy}, {target, :other}]

        assert Native.connector_certify(peer.node, certificates, :none) ==
                 {:bulky, certificates, [], 0}
      end

      assert standing() == 1
    end

    test "is found in the same way by the interface of the VM" do
      peer = start_connected_peer(env: [read_heap: false])
      refute Cluster.call(peer, Native, :reads_heap, [])

      for {reasons, tag} <- [{heavy(), :bulky}, {light(), :ok}], reason <- reasons do
        certificates = [{{:nobody, node()}, reason}]
        arguments = [node(), certificates, :none]
        assert {^tag, rest, [], 0} = Cluster.call(peer, Native, :connector_certify, arguments)
        assert rest == if(tag == :ok, do: [], else: certificates)
      end
    end

    test "is not made up of many that take a while: few of them are taken at once", context do
      for part <- [1, 1.5, self(), make_ref(), :atom, {}, [], "b", %{}] do
        # All reasons are just light enough for a normal scheduler.
        weight = if is_integer(part) or is_float(part) or part in [{}, "b", %{}], do: 1, else: 4
        reasons = for i <- 1..100, do: [i | List.duplicate(part, div(950, weight))]
        certificates = for reason <- reasons, do: {{:nobody, context.peer.node}, reason}

        assert {:ok, rest, [], 0} =
                 Native.connector_certify(context.peer.node, certificates, :none)

        # The call stops after few reasons, before it would look at the clock.
        assert (100 - length(rest)) in 1..9
      end
    end

    test "and only that", %{peer: peer, target: target, ref: ref} do
      for light <- light() do
        certificates = [{{:nobody, peer.node}, light}]
        assert Native.connector_certify(peer.node, certificates, :none) == {:ok, [], [], 0}
      end

      reason = hd(light())
      certificates = [{{:nobody, peer.node}, {:shutdown, :x}}, {target, reason}, {target, reason}]
      assert Native.connector_certify(peer.node, certificates, :none) == {:ok, [], [], 0}
      assert reason(ref) == reason
    end

    test "arrives whole", %{peer: peer, target: target, ref: ref} do
      reason = {:state, Enum.to_list(1..200_000)}
      send(Connector.get_for_node(peer.node), {:dead, peer.node, [{target, reason}]})
      assert reason(ref) == reason
    end
  end

  defp heavy do
    long = Enum.to_list(1..100_000)
    map = Map.new(long, &{&1, &1})
    # This is the longest atom in the external format: 255 characters of four bytes each.
    atom = String.to_atom(String.duplicate("𝔸", 255))

    [
      long,
      List.to_tuple(long),
      map,
      %{map => :key},
      :binary.copy("x", 100_000),
      Integer.pow(2, 100_000),
      Enum.reduce(1..2_000, :end, &{&1, &2}),
      Enum.reduce(1..2_000, :end, fn _, nested -> [nested] end),
      [{:error, %{state: long}} | :improper],
      [:improper | List.to_tuple(long)],
      List.duplicate(atom, 300),
      fn -> long end,
      <<1::3>>,
      {:shutdown, long}
    ]
  end

  defp light do
    trace = for line <- 1..12, do: {ZenMonitor, :function, 3, [file: ~c"lib/a.ex", line: line]}

    [
      {{:badmatch, %{a: 1.5, b: ["b", {}, self(), make_ref()]}}, trace},
      Enum.to_list(1..900),
      List.to_tuple(Enum.to_list(1..900)),
      Map.new(1..400, &{&1, &1}),
      Enum.reduce(1..50, :end, &{&1, &2}),
      :binary.copy("x", 50_000),
      [1 <<< 59, 1 <<< 62, -(1 <<< 62) | 1.5],
      {:shutdown, :x}
    ]
  end

  test "what waits to be told to another node slows no delivery", %{target: target} do
    native = Native.proxy_attach(self())
    bulky = :binary.copy("x", 100_000)
    Native.proxy_enqueue(native, :erlang.term_to_binary({:name, bulky}))
    assert {0, false} = Native.dispatcher_deliver(node(), 10, :all)
    ref = watch(target)
    suspend_stage(Dispatcher)
    send(Connector.get(target), {:dead, node(target), [{target, bulky}]})
    wait_until(fn -> Native.dispatcher_deliver(node(), 10, :all) == :bulky end)
    resume_stage(Dispatcher)
    assert reason(ref) == bulky
  end

  test "pids of several lives of a node are told apart" do
    lives = for creation <- 1..3, do: forged(creation)
    refs = for _ <- 1..3, pid <- lives, do: {ZenMonitor.monitor(pid), pid}
    for {ref, pid} <- refs, do: assert(down(ref) == {pid, :nodedown})
  end

  test "a chunk has pids of several lives and names as they were asked for, in order" do
    node = :"a@b.c"
    pids = for id <- 1..100, do: forged(rem(id, 3) + 1, id)
    targets = Enum.intersperse(pids, :name) ++ [:other]

    # The node has no Connector, so nobody else takes the instructions.
    for target <- targets do
      assert Native.monitor(self(), node, target, make_ref()) == {:start, node}
    end

    instructions = take_all(node)
    objects = for target <- Enum.uniq(targets), do: object(target, node)
    assert instructions == for(object <- objects, do: {:subscribe, object})
    Native.connector_confirm(node)
  end

  defp take_all(node) do
    case Native.connector_take(node, node, 1_000) do
      {instructions, true} -> instructions
      {instructions, false} -> instructions ++ take_all(node)
    end
  end

  defp object(name, node) when is_atom(name), do: {name, node}
  defp object(pid, _node), do: pid

  for queue <- [:on_heap, :off_heap] do
    test "a message is whole for whoever gets or sees it, #{queue}" do
      dispatcher = Process.whereis(ZenMonitor.Local.Dispatcher)
      :erlang.trace(dispatcher, true, [:send])
      parent = self()

      # All pids are of one life of their node, so that the messages are sent from words that lie on no heap.
      objects = for(id <- 1..5, do: forged(7, id)) ++ [{:name, :"a@b.c"}]

      receiver =
        :erlang.spawn_opt(
          fn ->
            monitors = for object <- objects, do: {ZenMonitor.monitor(object), object}
            downs = for {ref, _object} <- monitors, do: {ref, down(ref)}

            # Another life of the node becomes the known one. The messages that were sent must not depend on the former one.
            down(ZenMonitor.monitor(forged(8)))
            :erlang.garbage_collect()
            send(parent, {self(), monitors, downs})
          end,
          message_queue_data: unquote(queue)
        )

      assert_receive {^receiver, monitors, downs}, 5_000
      :erlang.garbage_collect(dispatcher)
      assert downs == for({ref, object} <- monitors, do: {ref, {object, :nodedown}})

      encoded = for {_, {object, _}} <- downs, do: :erlang.term_to_binary(object)
      assert encoded == Enum.map(objects, &:erlang.term_to_binary/1)

      for {ref, object} <- monitors do
        message = {:DOWN, ref, :process, object, {:zen_monitor, :nodedown}}
        assert_receive {:trace, ^dispatcher, :send, ^message, ^receiver}
      end

      :erlang.trace(dispatcher, false, [:send])
    end
  end

  test "a stopped state refuses every call that needs it, with the same error" do
    calls = for {function, arity} <- functions(), do: {function, valid(function, arity)}
    Application.stop(:zen_monitor)

    answers =
      for {function, arguments} <- calls do
        try do
          {function, apply(Native, function, arguments)}
        rescue
          error -> {function, {:raised, Exception.message(error) =~ "not_running"}}
        end
      end

    # These need no state, or nothing but the record of a connector.
    stateless = [
      :knows_pids,
      :proxy_answer_certificates,
      :proxy_outbox_len,
      :proxy_shed,
      :proxy_speak,
      :proxy_take,
      :proxy_take_back,
      :proxy_take_bulky,
      :proxy_version,
      :proxy_window,
      :proxy_withhold,
      :reads_heap,
      :truncate,
      :window,
      :window_enter,
      :window_room,
      :window_since
    ]

    answered = for {function, answer} <- answers, answer != {:raised, true}, do: function
    assert Enum.sort(answered) -- stateless == []
  end

  defp functions, do: Native.module_info(:exports) -- @left_out

  defp garbage, do: @garbage ++ [self(), make_ref(), fn -> 1 end, forged(), [self() | :tail]]

  # A random term of at most so many levels.
  defp random(0), do: Enum.random(garbage())

  defp random(depth) do
    some = fn -> for _ <- 1..:rand.uniform(5), do: random(depth - 1) end

    case :rand.uniform(8) do
      1 -> some.()
      2 -> List.to_tuple(some.())
      3 -> {Enum.random([:subscribe, :unsubscribe, :name, self()]), random(depth - 1)}
      4 -> Map.new(some.(), &{&1, &1})
      5 -> [random(depth - 1) | random(depth - 1)]
      6 -> :rand.bytes(:rand.uniform(40))
      7 -> damaged(:erlang.term_to_binary(random(depth - 1)))
      8 -> random(0)
    end
  end

  # Changes a byte in every third binary, and adds an element to every third list. The rest stays, so that most calls
  # get far.
  defp damaged(<<_, _::binary>> = bytes) do
    place = :rand.uniform(byte_size(bytes)) - 1
    {head, <<byte, tail::binary>>} = :erlang.split_binary(bytes, place)

    if :rand.uniform(3) == 1,
      do: <<head::binary, bxor(byte, :rand.uniform(255)), tail::binary>>,
      else: bytes
  end

  defp damaged(list) when is_list(list) do
    if :rand.uniform(3) == 1, do: [random(3) | list], else: list
  end

  defp damaged(other), do: if(:rand.uniform(10) == 1, do: random(3), else: other)

  # A pid of another node.
  defp forged(creation \\ 1, id \\ 7) do
    :erlang.binary_to_term(<<131, 88, 100, 0, 5, "a@b.c", id::32, 0::32, creation::32>>)
  end

  # A reference of another node.
  defp distant_reference do
    :erlang.binary_to_term(<<131, 90, 3::16, 119, 5, "a@b.c", 7::32, 1::32, 2::32, 3::32>>)
  end

  # A reference of another node that has the numbers of one of this node.
  defp foreign_reference do
    encoded = :erlang.term_to_binary(make_ref())
    numbers = binary_part(encoded, byte_size(encoded), -16)
    :erlang.binary_to_term(<<131, 90, 3::16, 119, 5, "a@b.c", numbers::binary>>)
  end

  defp valid(:monitor, 4), do: [self(), :other@node, :name, make_ref()]

  defp valid(:monitor_with, 5),
    do: [self(), :other@node, :name, make_ref(), {:tag, false}]

  defp valid(:demonitor, 1), do: [make_ref()]

  defp valid(:monitor_all, 4) do
    destinations = [self(), :name, {:name, :other@node}, forged()]
    refs = for _ <- destinations, do: make_ref()
    [destinations, refs, Enum.random([true, false]), node()]
  end

  defp valid(:backlog_expand, 1), do: [10]
  defp valid(:demonitor_all, 1), do: [[make_ref(), ZenMonitor.monitor(:name, bulk: true)]]
  defp valid(:set_open, 3), do: [make_ref(), {:tag, 1}, Enum.random([true, false])]

  defp valid(name, 3) when name in [:set_put, :set_delete, :set_member],
    do: [ZenMonitor.Set.new().ref, [self(), {:name, :other@node}, forged()], node()]

  defp valid(name, 1) when name in [:set_close, :set_size], do: [ZenMonitor.Set.new().ref]
  defp valid(:set_members, 2), do: [ZenMonitor.Set.new().ref, node()]
  defp valid(:monitors, 3), do: [self(), :other@node, :name]
  defp valid(:connector_take, 3), do: [:other@node, :other@node, 10]
  defp valid(:connector_certify, 3), do: [:other@node, [{:name, :reason}], stand_in()]
  defp valid(:connector_certify_bulky, 2), do: [:other@node, [{:name, :reason}]]
  defp valid(:dispatcher_deliver, 3), do: [node(), 10, {100_000, 100, 20}]
  defp valid(:dispatcher_deliver_bulky, 3), do: [node(), 10, :all]
  defp valid(:dispatcher_note, 2), do: [quota(), {100_000, 100, 20}]
  defp valid(:set_compatibility, 4), do: [:other@node, :unavailable, 0, 0]
  defp valid(:connector_take_parts, 3), do: [:other@node, :other@node, 10]

  defp valid(:connector_certify_runs, 4),
    do: valid(:connector_certify_bulky_runs, 3) ++ [stand_in()]

  defp valid(:connector_certify_bulky_runs, 3),
    do: [:other@node, <<0x12, 0, 1::32, 1, 4, 4>>, {:reason}]

  defp valid(:proxy_process, 5), do: [Native.proxy_attach(self()), node(), part(), [], 0]

  defp valid(:proxy_certify, 2),
    do: [[[self() | :reason], [{:name, node()} | {:why, 1}]], Enum.random([:none, 0])]

  defp valid(:proxy_passed_on, 2), do: [Native.proxy_attach(self()), 0]
  defp valid(:proxy_note, 2), do: [quota(), 1]
  defp valid(:window_room, 4), do: [Native.window(), 0, 100, 10]
  defp valid(:window_enter, 4), do: [Native.window(), 0, 100, 10]
  defp valid(:window_since, 2), do: [Native.window(), 0]

  defp valid(:proxy_hold, 2), do: [[], Enum.random([true, false])]
  defp valid(:proxy_reset, 1), do: [[self()]]
  defp valid(:proxy_certify_bulky, 2), do: [self(), :reason]
  defp valid(:proxy_speak, 2), do: [Native.proxy_attach(self()), 1]

  defp valid(:connector_excess, 2), do: [:other@node, 10]
  defp valid(:connector_hold, 4), do: [:other@node, 0, 10, true]
  defp valid(:connector_recognize, 2), do: [:other@node, 1]
  defp valid(:connector_resume, 2), do: [:other@node, 10]
  defp valid(:connector_shed, 2), do: [:other@node, 10]
  defp valid(:malformed, 2), do: [1, 10_000]

  defp valid(:proxy_enqueue, 2),
    do: [Native.proxy_attach(self()), :erlang.term_to_binary({:name, :reason})]

  defp valid(:survey_subscribers, 1), do: [10]
  defp valid(:held, 2), do: [node(), self()]
  defp valid(:watchers, 2), do: [:other@node, :name]
  defp valid(:truncate, 3), do: [:term, 3, 1_024]

  defp valid(name, 1)
       when name in [
              :proxy_detach,
              :proxy_sent,
              :proxy_shed,
              :proxy_outbox_len,
              :proxy_is_unused,
              :proxy_version,
              :proxy_take_back,
              :proxy_window,
              :proxy_answer_certificates
            ],
       do: [Native.proxy_attach(self())]

  defp valid(:proxy_withhold, 3), do: [Native.proxy_attach(self()), 10, 1_000]

  defp valid(name, 3) when name in [:proxy_take, :proxy_take_bulky],
    do: [Native.proxy_attach(self()), Enum.random(0..1), 10]

  defp valid(_, 1), do: [:other@node]
  defp valid(_, 0), do: []

  defp quota, do: {100_000_000, 10, 2_000_000, 8}
  defp stand_in, do: Enum.random([:none, {node(), 0}])

  # A part of instructions, in either form, about no process.
  defp part do
    Enum.random([
      [{:subscribe, :nobody}, {:unsubscribe, {:nobody, node()}}, {:subscribe, :nobody, 1}],
      <<0x10, 1::32, 1, 4, 4, 0x11, 1::32, 0, 4>>
    ])
  end

  # Calls the function in a process of its own, since it may make its caller the owner of a queue.
  defp harmless(function, arguments) do
    task =
      Task.async(fn ->
        try do
          apply(Native, function, arguments)
          :ok
        rescue
          ArgumentError -> :ok
          error -> {function, arguments, error}
        end
      end)

    assert Task.await(task) == :ok
  end

  # The calls have replaced the owners of the queues, so the real ones are started again first.
  defp still_usable(target, ref) do
    for name <- [
          ZenMonitor.Local,
          ZenMonitor.Local.Dispatcher,
          ZenMonitor.Local.Tables,
          ZenMonitor.Proxy.Tables,
          ZenMonitor.Proxy
        ] do
      PeerScript.kill_name(name)
    end

    kill(ZenMonitor.Local.Connector.get(self()))
    wait_until(fn -> ZenMonitor.connect(node()) == :compatible end)
    again = ZenMonitor.monitor(target)
    wait_until_watched(target)
    Process.exit(target, :kill)
    for ref <- [ref, again], do: assert({^target, _} = down(ref))
  end
end
