defmodule ZenMonitor.TruncatorTest do
  # Not async: it changes the configuration.
  use ZenMonitor.Case

  import Bitwise
  import ZenMonitor.Truncator

  alias ZenMonitor.{Config, Native}

  require Config

  doctest ZenMonitor.Truncator

  defmodule Guarded do
    # A struct whose module raises when the struct is made, read or changed through it.
    @behaviour Access

    def __struct__, do: raise("made")
    def __struct__(_), do: raise("made")

    @impl true
    def fetch(_, _), do: raise("read")
    @impl true
    def get_and_update(_, _, _), do: raise("changed")
    @impl true
    def pop(_, _), do: raise("changed")
  end

  # There is no such module, so nothing can load it.
  @unloaded :"Elixir.ZenMonitor.TruncatorTest.Unloaded"

  setup do
    before = for key <- [:max_binary_size, :truncation_depth], do: {key, Config.get(key)}
    on_exit(fn -> for {key, value} <- before, do: Config.put(key, value) end)
  end

  describe "what passes:" do
    test "atoms, numbers, pids, ports and references" do
      remote = :erlang.binary_to_term(<<131, 88, 100, 0, 5, "a@b.c", 7::32, 0::32, 1::32>>)
      remote_ref = :erlang.binary_to_term(<<131, 90, 1::16, 100, 0, 5, "a@b.c", 1::32, 2::32>>)
      port = hd(Port.list())
      plain = [:normal, nil, :"", 0, -1, 1.5, 1 <<< 59, 1 <<< 300, -(1 <<< 300)]

      for term <- plain ++ [self(), remote, port, make_ref(), remote_ref] do
        assert truncate(term) === term
        assert truncate({term, [term], %{k: term}}) === {term, [term], %{k: term}}
      end
    end

    test "empty tuples, lists, maps and binaries" do
      for term <- [{}, [], %{}, ""] do
        assert truncate(term) === term
        assert truncate({term, [term], %{k: term}}) === {term, [term], %{k: term}}
      end
    end

    test "what need not change, as the very same term" do
      binary = String.duplicate("x", 1_024)
      term = {:error, [binary, %{}], %{__struct__: @unloaded, a: 1, b: 2, c: 3, d: 4}}
      assert :erts_debug.same(truncate(term), term)
    end

    test "beside what changes, as the very same term" do
      same = {:a, [1, "b"], %{c: 2.5}}
      long = [1, 2, 3, 4, 5]

      for {term, part} <- [
            {{same, long}, &elem(&1, 0)},
            {{long, same, 1}, &elem(&1, 1)},
            {{1, 2, long, same}, &elem(&1, 3)},
            {[long, same], &List.last/1},
            {[1, same, long], &Enum.at(&1, 1)},
            {[same, 1, 2, long], &hd/1},
            {%{a: long, b: same}, & &1.b}
          ] do
        assert :erts_debug.same(part.(truncate(term, 4)), part.(term))
      end
    end
  end

  describe "a binary" do
    test "of max_binary_size passes" do
      for size <- [1_023, 1_024] do
        binary = :crypto.strong_rand_bytes(size)
        assert truncate(binary) === binary
      end
    end

    test "of one byte more keeps all but the room of the ellipsis" do
      binary = :crypto.strong_rand_bytes(1_025)
      assert truncate(binary) === binary_part(binary, 0, 1_021) <> "..."
    end

    test "is found in an error with its stack trace, whatever kind of error that is" do
      frame = {Enum, :map, 2, []}
      binary = :crypto.strong_rand_bytes(1_025)
      shortened = binary_part(binary, 0, 1_021) <> "..."

      for error <- [& &1, &{:badmatch, &1}, &%{message: &1}], frames <- [[frame], frame] do
        kept = {error.(shortened), truncate(frames, 2)}
        assert truncate({error.(binary), frames}) === kept
      end
    end

    test "of any greater length becomes as long" do
      binary = :crypto.strong_rand_bytes(1_000_000)
      assert truncate(binary) === binary_part(binary, 0, 1_021) <> "..."
      assert truncate([binary]) === [binary_part(binary, 0, 1_021) <> "..."]
    end

    test "is measured by the configuration of the moment" do
      assert truncate("0123456789") == "0123456789"
      Config.put(:max_binary_size, 9)
      assert truncate("0123456789") == "012345..."
      assert truncate("012345678") == "012345678"
      Config.put(:max_binary_size, 3)
      assert truncate("0123") == "..."
      Config.put(:max_binary_size, 0xFFFF_FFFF)
      assert truncate("0123456789") == "0123456789"
    end

    test "that was shortened does not keep the original alive" do
      # A whole binary, and a part of one.
      large = :crypto.strong_rand_bytes(1_000_000)

      for binary <- [large, binary_part(large, 3, 500_000)] do
        assert :binary.referenced_byte_size(truncate(binary)) == 1_024
      end
    end

    test "may start within a byte" do
      large = :crypto.strong_rand_bytes(20_000)

      for size <- [10, 1_024, 1_025, 10_000] do
        binary = part_within_a_byte(large, size)
        copy = :binary.list_to_bin(:binary.bin_to_list(binary))
        expected = if size > 1_024, do: binary_part(copy, 0, 1_021) <> "...", else: copy
        assert truncate(binary) === expected
        assert truncate({binary, %{k: binary}}) === {expected, %{k: expected}}
      end
    end

    test "that is being appended to stays as it is for its owner" do
      binary = Enum.reduce(1..3_000, "", fn i, acc -> acc <> <<i>> end)
      assert truncate({binary}) == {binary_part(binary, 0, 1_021) <> "..."}
      assert byte_size(binary <> "more") == 3_004
    end
  end

  describe "tuples, lists and maps" do
    test "of up to 4 elements are kept" do
      for size <- 1..4 do
        list = Enum.to_list(1..size)
        map = Map.new(list, &{&1, &1})
        assert truncate(list) === list
        assert truncate(List.to_tuple(list)) === List.to_tuple(list)
        assert truncate(map) === map
      end
    end

    test "of 5 elements and more become :truncated" do
      for size <- [5, 6, 7, 31, 32, 33, 34, 1_000] do
        list = Enum.to_list(1..size)
        map = Map.new(list, &{&1, &1})

        for term <- [list, List.to_tuple(list), map] do
          assert truncate(term) === :truncated
          assert truncate({:error, term}) === {:error, :truncated}
        end
      end
    end

    test "have each of their elements truncated" do
      long = [1, 2, 3, 4, 5]

      for size <- 1..4, place <- 0..(size - 1) do
        list = List.replace_at(Enum.to_list(1..size), place, long)
        expected = List.replace_at(Enum.to_list(1..size), place, :truncated)
        assert truncate(list) === expected
        assert truncate(List.to_tuple(list)) === List.to_tuple(expected)
        map = Map.new(Enum.zip(~w(d b a c), list))
        assert truncate(map) === Map.new(Enum.zip(~w(d b a c), expected))
      end

      assert truncate(%{a: long, b: long, c: long, d: long}) ===
               %{a: :truncated, b: :truncated, c: :truncated, d: :truncated}
    end

    test "lose nothing of a map's keys" do
      key = {fn -> :key end, [1, 2, 3, 4, 5], {{{:deep}}}, String.duplicate("x", 2_000)}
      assert truncate(%{key => 1}) === %{key => 1}
      assert truncate(%{key => {1, 2, 3, 4, 5}}) === %{key => :truncated}
    end

    test "are cheap however long they are" do
      list = Enum.to_list(1..1_000_000)
      tuple = List.to_tuple(list)
      map = Map.new(1..10_000, &{&1, &1})
      improper = list ++ :tail

      for term <- [list, tuple, map, improper, {:error, [list, tuple, map, improper]}] do
        {time, _} = :timer.tc(fn -> for _ <- 1..1_000, do: truncate(term) end)
        # Walking through the whole term a thousand times would take seconds.
        assert time < 200_000
      end
    end
  end

  describe "a struct" do
    test "of up to 4 fields is kept, __struct__ not counted" do
      struct = %{__struct__: @unloaded, a: 1, b: 2, c: 3, d: 4}
      assert truncate(struct) === struct
      assert truncate(%{struct | c: [1, 2, 3, 4, 5]}) === %{struct | c: :truncated}
      assert truncate(%{__struct__: @unloaded}) === %{__struct__: @unloaded}
    end

    test "of 5 fields becomes :truncated" do
      assert truncate(%{__struct__: @unloaded, a: 1, b: 2, c: 3, d: 4, e: 5}) === :truncated
      assert truncate(%{~D[2020-01-01] | year: 1}) === %{~D[2020-01-01] | year: 1}
      assert truncate(~N[2020-01-01 00:00:00]) === :truncated
    end

    test "keeps a module that is not loaded, at the last level too" do
      struct = %{__struct__: @unloaded, a: {1, 2}}
      assert truncate(struct, 1) === %{__struct__: @unloaded, a: :truncated}
      assert truncate({{struct}}) === {{%{__struct__: @unloaded, a: :truncated}}}
      refute :code.is_loaded(@unloaded)
    end

    test "is never rebuilt through its module" do
      struct = %{__struct__: Guarded, a: fn -> 1 end, b: [1, 2, 3, 4, 5], c: %{d: 1}}

      assert truncate(struct) ===
               %{__struct__: Guarded, a: :truncated, b: :truncated, c: %{d: 1}}
    end

    test "may be an exception" do
      error = %RuntimeError{message: String.duplicate("x", 2_000)}

      assert truncate({error, []}) ===
               {%RuntimeError{message: String.duplicate("x", 1_021) <> "..."}, []}
    end

    test "is not every map with a __struct__" do
      assert truncate(%{__struct__: "A"}) === %{__struct__: "A"}
      assert truncate(%{__struct__: [1, 2, 3, 4, 5]}) === %{__struct__: :truncated}
      assert truncate(%{__struct__: "A", a: 1, b: 2, c: 3, d: 4}) === :truncated
      assert truncate(%{"__struct__" => A, a: 1, b: 2, c: 3, d: 4}) === :truncated
    end
  end

  describe "depth" do
    test "is counted from the reason itself at level 0" do
      term = {:a, {:b, {:c, {:d}}}}
      assert truncate(term, 0) === :truncated
      assert truncate(term, 1) === {:truncated, :truncated}
      assert truncate(term, 2) === {:a, {:truncated, :truncated}}
      assert truncate(term, 3) === {:a, {:b, {:truncated, :truncated}}}
      assert truncate(term, 4) === {:a, {:b, {:c, {:truncated}}}}
      assert truncate(term, 5) === term
    end

    test "counts tuples, lists and maps alike" do
      assert truncate([%{k: {1}}], 3) === [%{k: {:truncated}}]
      assert truncate(%{k: {[1]}}, 3) === %{k: {[:truncated]}}
      assert truncate({[%{k: 1}]}, 3) === {[%{k: :truncated}]}
    end

    test "makes everything :truncated" do
      port = hd(Port.list())

      for term <- [:a, nil, 1, 1.5, "b", self(), port, make_ref(), {}, [], %{}, fn -> 1 end] do
        assert truncate(term, 0) === :truncated
        assert truncate([term], 1) === [:truncated]
      end
    end

    test "is 3 unless configured otherwise" do
      term = {{{{:a}}}}
      assert truncate(term) === {{{:truncated}}}
      Config.put(:truncation_depth, 1)
      assert truncate(term) === {:truncated}
      Config.put(:truncation_depth, 0)
      assert truncate(term) === :truncated
    end

    test "may be as large as an integer can be" do
      assert truncate({{{{:a}}}}, 1 <<< 80) === {{{{:a}}}}
    end

    test "that is no depth is refused" do
      for depth <- [-1, 1.0, :infinity, nil, "3"] do
        error = assert_raise ArgumentError, fn -> truncate({:a}, depth) end
        assert error.message =~ "non-negative integer"
        assert error.message =~ "got: #{inspect(depth)}"
      end
    end
  end

  describe "what becomes :truncated:" do
    test "functions" do
      for fun <- [fn -> 1 end, &String.length/1, &is_atom/1] do
        assert truncate(fun) === :truncated
        assert truncate({fun, [fun], %{k: fun}}) === {:truncated, [:truncated], %{k: :truncated}}
      end
    end

    test "improper lists" do
      for list <- [[1 | 2], [1, 2 | 3], [1, 2, 3, 4 | 5], [1, 2, 3, 4, 5 | 6], [[] | {}]] do
        assert truncate(list) === :truncated
        assert truncate({list, [list]}) === {:truncated, [:truncated]}
      end
    end

    test "bitstrings that are not whole bytes" do
      large = <<0::size(80_001)>>

      for bits <- [<<1::1>>, <<1::7>>, <<1, 2::4>>, large] do
        assert truncate(bits) === :truncated
        assert truncate({bits}) === {:truncated}
      end

      <<_::5, part::bitstring-size(12), _::bitstring>> = large
      assert truncate([part]) === [:truncated]
    end
  end

  describe "{:shutdown, term}" do
    test "passes untouched at the top" do
      huge = Map.new(1..1_000, &{&1, String.duplicate("x", 2_000)})

      for inner <- [:a, huge, fn -> 1 end, [1 | 2], {{{{{:deep}}}}}], depth <- [0, 1, 3] do
        reason = {:shutdown, inner}
        assert :erts_debug.same(truncate(reason, depth), reason)
      end
    end

    test "is truncated anywhere else" do
      assert truncate({{:shutdown, [1, 2, 3, 4, 5]}, []}) === {{:shutdown, :truncated}, []}
      assert truncate([{:shutdown, fn -> 1 end}]) === [{:shutdown, :truncated}]
    end

    test "is a pair of just that atom" do
      fun = fn -> 1 end
      assert truncate({:shutdown, fun, fun}) === {:shutdown, :truncated, :truncated}
      assert truncate({:shutdown}, 1) === {:truncated}
      assert truncate([:shutdown, fun]) === [:shutdown, :truncated]
      assert truncate({"shutdown", fun}) === {"shutdown", :truncated}
      assert truncate(:shutdown, 0) === :truncated
    end
  end

  test "the reason of a crashed server keeps its outline" do
    frame = {Server, :handle_call, 3, [file: ~c"lib/server.ex", line: 42]}
    stack = List.duplicate(frame, 12)
    state = Map.new(1..10_000, &{&1, &1})
    call = {GenServer, :call, [self(), :get, 5_000]}

    assert truncate({{:badmatch, {:error, state}}, stack}) ===
             {{:badmatch, {:truncated, :truncated}}, :truncated}

    assert truncate({:timeout, call}) ===
             {:timeout, {GenServer, :call, [:truncated, :truncated, :truncated]}}
  end

  describe "the work is bounded:" do
    test "deep nesting neither overflows the stack nor holds the scheduler" do
      deep = Enum.reduce(1..1_000_000, :core, fn _, inner -> {inner} end)
      assert bounded(deep)

      nested = fn levels, core -> Enum.reduce(1..levels, core, fn _, inner -> [inner] end) end
      assert truncate(nested.(99, :core), 1_000) === nested.(99, :core)
      assert truncate(nested.(100, :core), 1_000) === nested.(100, :truncated)
      assert truncate(nested.(5_000, :core), 1_000) === nested.(100, :truncated)
    end

    test "shared parts do not multiply it" do
      large = String.duplicate("x", 100_000)

      for leaf <- [:core, large, 1.5, fn -> 1 end] do
        assert bounded(Enum.reduce(1..1_000, leaf, fn _, x -> {x, x, x, x} end))
        assert bounded(Enum.reduce(1..1_000, leaf, fn _, x -> [x, x, x, x] end))
        assert bounded(Enum.reduce(1..1_000, leaf, fn _, x -> %{a: x, b: x, c: x, d: x} end))
        assert bounded(Enum.reduce(1..6, leaf, fn _, x -> %{a: x, b: x, c: x, d: x} end))
      end
    end

    test "a large binary that starts within a byte is looked at once" do
      <<_::1, large::binary-size(500_000), _::bitstring>> = :binary.copy("x", 500_001)
      # With this depth, the NIF truncates.
      Config.put(:max_binary_size, 3)
      assert truncate({large, large, {large}}, 9) === {"...", :truncated, :truncated}
      assert truncate({large, large, {large}}, 3) === {"...", "...", {"..."}}
    end

    test "what is left out leaves the rest as it was" do
      shared = Enum.reduce(1..10, :core, fn _, x -> {x, x, x, x} end)
      assert {:first, {_, _, _, _}, :truncated} = truncate({:first, shared, :last}, 20)
    end

    test "and is counted in reductions" do
      shared = Enum.reduce(1..10, :core, fn _, x -> {x, x, x, x} end)
      assert reductions(fn -> truncate(shared, 20) end) > 1_000
      assert reductions(fn -> truncate({:error, [1, 2, 3]}) end) < 100
    end

    # Checks that the term is truncated in time. The bound is a multiple of what is promised, since the machine may be
    # busy. The term itself must never be copied or printed, which would undo its sharing.
    defp bounded(term) do
      times = for _ <- 1..5, do: elem(:timer.tc(fn -> truncate(term, 1 <<< 40) end), 0)
      Enum.min(times) < 5_000
    end

    defp reductions(fun) do
      {:reductions, before} = Process.info(self(), :reductions)
      fun.()
      {:reductions, later} = Process.info(self(), :reductions)
      later - before
    end
  end

  test "agrees with the rules on any term" do
    :rand.seed(:exsss, {1, 2, 3})
    Config.put(:max_binary_size, 10)

    for _ <- 1..1_000 do
      term = any(5)
      depth = :rand.uniform(8) - 1

      expected =
        case term do
          {:shutdown, _} -> term
          _ -> model(term, depth)
        end

      assert truncate(term, depth) === expected
      assert depth > 4 or :erts_debug.same(truncate(expected, depth), expected)
      assert Native.truncate(term, depth, 10) === expected
    end
  end

  describe "a limit" do
    test "that is set holds at once" do
      Config.put(:truncation_depth, 2)
      assert truncate({:a, {:b}}) === {:a, {:truncated}}
      Config.put(:max_binary_size, 5)
      assert truncate("abcdef") === "ab..."
    end

    test "that is configured holds from the start" do
      Application.put_env(:zen_monitor, :truncation_depth, 2)
      restart()
      assert truncate({:a, {:b}}) === {:a, {:truncated}}
    end

    test "that is changed behind the back holds from the next sweep, in the Proxy, too" do
      Application.put_env(:zen_monitor, :truncation_depth, 2)
      [first, second] = PeerScript.targets(2)
      refs = watch_all([first, second])
      PeerScript.kill([first])
      assert reason(hd(refs)) == :killed
      send(second, {:exit, {:a, {:b}}})
      assert reason(List.last(refs)) == {:a, {:truncated}}
      assert truncate({:a, {:b}}) === {:a, {:truncated}}
    end

    test "that cannot work, put behind the back, counts as the default" do
      long = {:error, String.duplicate("x", 1_025), {{{}}}}
      short = {:error, String.duplicate("x", 1_021) <> "...", {{:truncated}}}

      for bad <- [-1, nil, 1.5, "3", :infinity, 1 <<< 70] do
        Application.put_env(:zen_monitor, :truncation_depth, bad)
        Application.put_env(:zen_monitor, :max_binary_size, if(bad == -1, do: 2, else: bad))
        [first, second] = PeerScript.targets(2)
        [_, ref] = refs = watch_all([first, second])
        PeerScript.kill([first])
        assert reason(hd(refs)) == :killed
        send(second, {:exit, long})
        assert reason(ref) == short
        assert truncate(long) === short
      end
    end

    test "that changes replaces no term that processes could refer to" do
      for {depth, size} <- [{3, 5}, {0, 0xFFFF_FFFF}, {100, 3}, {3, 1_024}] do
        Config.put(:truncation_depth, depth)
        Config.put(:max_binary_size, size)
        assert [noted] = for({Config.Truncation, noted} <- :persistent_term.get(), do: noted)
        assert {Config.truncation_depth(noted), Config.max_binary_size(noted)} == {depth, size}
        assert is_integer(noted) and :erts_debug.flat_size(noted) == 0
      end
    end
  end

  # The rules once more, in the plainest way, whatever that costs.
  defp model(_, 0), do: :truncated
  defp model(term, _) when is_atom(term) or is_number(term) or is_pid(term), do: term
  defp model(term, _) when is_port(term) or is_reference(term), do: term
  defp model(term, _) when is_binary(term) and byte_size(term) <= 10, do: term
  defp model(term, _) when is_binary(term), do: String.slice(term, 0, 7) <> "..."

  defp model(term, levels) when is_tuple(term) do
    case model(Tuple.to_list(term), levels) do
      :truncated -> :truncated
      list -> List.to_tuple(list)
    end
  end

  defp model(%{__struct__: module} = struct, levels) when is_atom(module) do
    case model(Map.delete(struct, :__struct__), levels) do
      :truncated -> :truncated
      map -> Map.put(map, :__struct__, module)
    end
  end

  defp model(map, levels) when is_map(map) and map_size(map) <= 4 do
    Map.new(map, fn {key, value} -> {key, model(value, levels - 1)} end)
  end

  defp model(list, levels) when is_list(list) do
    if List.improper?(list) or length(list) > 4,
      do: :truncated,
      else: Enum.map(list, &model(&1, levels - 1))
  end

  defp model(_, _), do: :truncated

  defp any(0), do: leaf()

  defp any(levels) do
    case :rand.uniform(8) do
      1 -> leaf()
      2 -> elements(levels)
      3 -> List.to_tuple(elements(levels))
      4 -> List.to_tuple(elements(levels))
      5 -> Map.new(Enum.zip(Enum.take_random(~w(a b c d e f)a, 6), elements(levels)))
      6 -> Map.new(Enum.zip([:__struct__, :b, {:c}, "d", 5.0, ~c"f"], elements(levels)))
      7 -> Map.put(Map.new(Enum.zip(~w(a b c d e f)a, elements(levels))), :__struct__, :s)
      8 -> Enum.reduce(elements(levels), leaf(), &[&1 | &2])
    end
  end

  defp elements(levels), do: for(_ <- 1..:rand.uniform(6), do: any(Enum.random([0, levels - 1])))

  defp leaf do
    Enum.random([
      :atom,
      :shutdown,
      [],
      {},
      %{},
      "0123456789",
      "0123456789a",
      <<5::3>>,
      1 <<< 70,
      -2.5,
      self(),
      make_ref(),
      hd(Port.list()),
      fn -> 1 end
    ])
  end

  # In the head of a function, where all versions of Elixir take a size that is bound before.
  defp part_within_a_byte(whole, size), do: part_within_a_byte(<<size::32, whole::binary>>)

  defp part_within_a_byte(<<size::32, _::3, part::binary-size(size), _::bitstring>>), do: part
end
