defmodule ZenMonitor.Case do
  @moduledoc false
  # Every test of such a module begins with fresh tables, no Connector and the default configuration.
  # With `flags: :default`, its peers have OTP's default flags.

  use ExUnit.CaseTemplate

  alias ZenMonitor.{Cluster, Local.Connectors, Local.Dispatcher, Metrics, Native, PeerScript}

  using opts do
    quote do
      @moduletag unquote(opts)

      import ZenMonitor.Case
      import ZenMonitor.Cluster, only: [wait_until: 1]

      alias ZenMonitor.{Cluster, Metrics, Native, PeerScript}

      # Before any other, which may start peers.
      setup_all do
        Cluster.put_flags(Keyword.get(unquote(opts), :flags, :alone))
        on_exit(fn -> Cluster.put_flags(:alone) end)
      end
    end
  end

  setup context do
    # `global` may have cut off a peer that all tests of a module share, when another of them cut a link.
    if context[:peer] && Cluster.flags() == :default, do: Cluster.connect(context.peer)
    configured = Application.get_all_env(:zen_monitor)
    restart()

    on_exit(fn ->
      for {key, _} <- Application.get_all_env(:zen_monitor) do
        Application.delete_env(:zen_monitor, key)
      end

      Application.put_all_env(zen_monitor: configured)
      restart()
    end)
  end

  @doc """
  Defines the module of a test file once more, under another name, for peers with OTP's default flags.

  Options: further ones of `use ZenMonitor.Case`, which become tags of the module.
  """
  def with_default_flags(file, opts) do
    file
    |> File.read!()
    |> Code.string_to_quoted!(file: file)
    |> Macro.prewalk(fn
      {:defmodule, meta, [{:__aliases__, _, name} | block]} ->
        {:defmodule, meta, [Module.concat(name ++ [DefaultFlags]) | block]}

      {:use, meta, [{:__aliases__, _, [:ZenMonitor, :Case]} = this]} ->
        {:use, meta, [this, [flags: :default] ++ opts]}

      code ->
        code
    end)
    |> Code.eval_quoted([], file: file)
  end

  @doc "Starts the application anew."
  def restart do
    _ = Application.stop(:zen_monitor)
    {:ok, _} = Application.ensure_all_started(:zen_monitor)
    :ok
  end

  @doc "Starts a peer and connects to it."
  def start_connected_peer(opts \\ []) do
    peer = Cluster.start_peer(opts)
    Cluster.connect(peer)
    peer
  end

  @doc "Runs a function of `ZenMonitor.PeerScript` on a connected node."
  def on(%Cluster{node: node}, function, args \\ []) do
    :erpc.call(node, ZenMonitor.PeerScript, function, args, 30_000)
  end

  @doc """
  Monitors a process and returns when its node knows.

  A signal sent before may overtake the subscription, and the reason is `:noproc` then.
  """
  def watch(pid) do
    ref = ZenMonitor.monitor(pid)
    wait_until_watched(pid)
    ref
  end

  @doc "Monitors processes of one node and returns when it knows."
  def watch_all(pids) do
    refs = for pid <- pids, do: ZenMonitor.monitor(pid)
    wait_until_watched(pids)
    refs
  end

  @doc "Waits until the Proxy of its node, or of theirs, watches a process, or all of a list."
  def wait_until_watched(pids), do: Cluster.wait_until(fn -> watched?(pids) end)

  @doc """
  Waits until the node of a process, or of a list of them, has subscriptions over the present connection of this node.

  Right after a connection was lost, processes may still be watched for its sake.
  """
  def wait_until_subscribed(pids) do
    node = pids |> List.wrap() |> hd() |> node()
    subscribed? = fn -> :erpc.call(node, PeerScript, :subscribed?, [pids, node()]) end
    Cluster.wait_until(subscribed?)
  end

  @doc "Whether the Proxy of its node, or of theirs, watches a process, or all of a list."
  def watched?(pids) do
    node = pids |> List.wrap() |> hd() |> node()
    :erpc.call(node, ZenMonitor.PeerScript, :watched?, [pids])
  end

  @doc """
  Starts a task with these processes in a set, and returns when their node knows. The task returns the
  reasons of the one message for each, and fails if there is another.
  """
  def watch_in_set(pids, options \\ []) do
    test = self()

    task =
      Task.async(fn ->
        set = ZenMonitor.Set.new(options)
        true = ZenMonitor.Set.put(set, pids) == length(pids)
        send(test, {:in_set, self()})
        reasons = members_down(set.ref, MapSet.new(pids), [])
        0 = ZenMonitor.Set.size(set)
        wait_until_settled()
        refute_received {:DOWN, _, _, _}
        refute_received {:DOWN, _, _, _, _}
        reasons
      end)

    %{pid: pid} = task
    assert_receive {:in_set, ^pid}, 10_000
    wait_until_watched(pids)
    task
  end

  defp members_down(ref, missing, reasons) do
    if MapSet.size(missing) == 0 do
      reasons
    else
      entries = told(ref)
      objects = for {object, _} <- entries, do: object
      assert MapSet.subset?(MapSet.new(objects), missing) and objects == Enum.uniq(objects)
      more = for {_, {:zen_monitor, reason}} <- entries, do: reason
      members_down(ref, MapSet.difference(missing, MapSet.new(objects)), more ++ reasons)
    end
  end

  defp told(ref) do
    receive do
      {:DOWN, ^ref, :process, object, cause} -> [{object, cause}]
      {:DOWN, ^ref, :bulk, entries} -> entries
    after
      20_000 -> flunk("messages of a set are missing")
    end
  end

  @doc "The object and the reason of the one `:DOWN` of a reference."
  def down(ref) do
    assert_receive {:DOWN, ^ref, :process, object, {:zen_monitor, reason}}, 10_000
    {object, reason}
  end

  @doc "The reason of the one `:DOWN` of a reference."
  def reason(ref), do: ref |> down() |> elem(1)

  @doc """
  Receives one `:DOWN` for each reference, and fails if there is none for one, two for one, or one
  that belongs to no reference. Returns their reasons by reference.
  """
  def downs(refs) do
    missing = MapSet.new(refs)
    reasons = collect(missing, %{})
    wait_until_settled()
    refute_received {:DOWN, _, _, _, {:zen_monitor, _}}
    reasons
  end

  defp collect(missing, reasons) do
    if MapSet.size(missing) == 0 do
      reasons
    else
      receive do
        {:DOWN, ref, :process, _, {:zen_monitor, reason}} ->
          assert MapSet.member?(missing, ref), "a second or unknown :DOWN: #{inspect(reason)}"
          collect(MapSet.delete(missing, ref), Map.put(reasons, ref, reason))
      after
        20_000 -> flunk("#{MapSet.size(missing)} :DOWN messages are missing")
      end
    end
  end

  # What is still under way may be a :DOWN too many.
  defp wait_until_settled do
    Cluster.wait_until(fn -> Metrics.get("zen_monitor.local.batch_length") == 0 end)
    ref = ZenMonitor.monitor(:zen_monitor_nobody)
    assert_receive {:DOWN, ^ref, :process, _, {:zen_monitor, :noproc}}, 10_000
    Process.sleep(50)
  end

  @doc """
  Has the calling process told of every `:DOWN` that the Dispatcher sends, or a Connector in its place.
  `deliveries/1` has them.
  """
  def trace_deliveries do
    connectors = DynamicSupervisor.which_children(Connectors.supervisor())
    dispatcher = Process.whereis(Dispatcher)

    for pid <- [dispatcher | for({_, pid, _, _} <- connectors, do: pid)] do
      :erlang.trace(pid, true, [:send, :monotonic_timestamp])
    end
  end

  @doc "The next so many deliveries in the order of their sending, each as `{subscriber, time in ns}`."
  def deliveries(0), do: []

  def deliveries(amount) do
    assert_receive {:trace_ts, _, :send, {:DOWN, _, :process, _, {:zen_monitor, _}}, to, time},
                   10_000

    [{to, System.convert_time_unit(time, :native, :nanosecond)} | deliveries(amount - 1)]
  end

  @doc "The most of these ascending times that any window of this length has."
  def busiest(times, window), do: busiest(times, times, 0, 0, window)

  defp busiest([], _first, _size, most, _window), do: most

  defp busiest([time | times], [start | _] = first, size, most, window)
       when start > time - window do
    busiest(times, first, size + 1, max(most, size + 1), window)
  end

  defp busiest(times, [_ | first], size, most, window) do
    busiest(times, first, size - 1, most, window)
  end

  @doc "Suspends the Dispatcher or a Batcher. Nobody takes it to be asleep, so nobody stands in for it, either."
  def suspend_stage(process) do
    :sys.suspend(process)

    :sys.replace_state(process, fn state ->
      case state do
        %{native: native} -> Native.proxy_answer_certificates(native)
        _ -> Native.dispatcher_answer()
      end

      state
    end)
  end

  @doc "Ends that."
  def resume_stage(process) do
    send(process, :wake)
    :sys.resume(process)
  end

  @doc "Runs a function while the Dispatcher sends nothing, and returns when so many more wait."
  def while_suspended(amount, fun) do
    waiting = Metrics.get("zen_monitor.local.batch_length")
    suspend_stage(Dispatcher)
    fun.()

    Cluster.wait_until(fn ->
      Metrics.get("zen_monitor.local.batch_length") == waiting + amount
    end)

    resume_stage(Dispatcher)
  end

  @doc "The number of standing monitors."
  def standing, do: Metrics.get("zen_monitor.local.ets.references.size")

  @doc "Kills a process and returns when it is dead."
  def kill(pid) do
    monitor = Process.monitor(pid)
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^monitor, :process, _, _}, 10_000
    :ok
  end
end
