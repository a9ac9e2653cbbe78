defmodule ZenMonitor.Cluster do
  @moduledoc false
  # Other nodes for the tests, controlled over their standard input and output: so they survive the
  # cutting of a distribution link, and can be asked while there is none. They stop with the process
  # that started them.

  alias ZenMonitor.Cluster.TLS

  @enforce_keys [:control, :node]
  defstruct [:control, :node, :os_pid, :flags]

  @doc "Makes this VM a node, unless it is one."
  def start_distribution do
    {_, 0} = System.cmd("epmd", ["-daemon"])

    unless Node.alive?() do
      {:ok, _} = Node.start(:"zen_monitor_#{System.pid()}@127.0.0.1", :longnames)
    end

    :ok
  end

  @doc """
  Starts a node that is not connected yet.

  Options: `:name`, that of a former peer (a new one), or `:dynamic` for one that the first node gives
  it that it connects to, see `name/1`; `:application`, whether to start `:zen_monitor` on it (true); `:env`, its configuration;
  `:kernel`, that of Kernel; `:hidden` (false); `:distributed`, whether to give it a name (true);
  `:flags`, `:default` for OTP's own, with which nodes mesh and `global` guards the mesh, or `:alone` (what `put_flags/1` set);
  `:carrier`, `:tls` for distribution over TLS, which speaks to such nodes alone, `:verified_tls` where
  both ends verify each other, `:foreign_tls` where another authority than theirs has signed (`:tcp`);
  `:host` and `:exec`, of a peer on a host of `ZenMonitor.Hosts`.
  """
  def start_peer(opts \\ []) do
    opts = Keyword.put_new(opts, :flags, flags())
    # On a machine with much else to do, a VM may take longer to start than the 15 s of `:peer`.
    options = %{connection: :standard_io, wait_boot: 60_000, args: args(opts)}
    options = Map.merge(options, Map.new(Keyword.take(opts, [:exec])))
    host = Keyword.get(opts, :host, ~c"127.0.0.1")

    options =
      if Keyword.get(opts, :distributed, true) and opts[:name] != :dynamic do
        Map.merge(options, %{name: given_name(opts), host: host, longnames: true})
      else
        options
      end

    {:ok, control, node} = :peer.start_link(options)
    peer = %__MODULE__{control: control, node: node, flags: opts[:flags]}
    peer = %{peer | os_pid: call(peer, System, :pid, [])}

    for {key, value} <- Keyword.merge(configured(), Keyword.get(opts, :env, [])) do
      :ok = call(peer, Application, :put_env, [:zen_monitor, key, value])
    end

    if Keyword.get(opts, :application, true) do
      {:ok, _} = call(peer, Application, :ensure_all_started, [:zen_monitor])
    end

    peer
  end

  @doc "Sets the `:flags` of the peers that are started without, from now on."
  def put_flags(flags), do: Application.put_env(:ex_unit, __MODULE__, flags)

  @doc "The `:flags` of the peers that are started without."
  def flags, do: Application.get_env(:ex_unit, __MODULE__, :alone)

  @doc "Calls a function on a peer, connected or not."
  def call(peer, module, function, args, timeout \\ 15_000)
  def call(%{control: nil}, module, function, args, _), do: apply(module, function, args)

  def call(peer, module, function, args, timeout) do
    :peer.call(peer.control, module, function, args, timeout)
  end

  @doc "A peer under the name that it has by now."
  def name(peer), do: %{peer | node: call(peer, :erlang, :node, [])}

  @doc """
  Connects to a peer.

  `global` greets a new node by a cast. If the link is cut before, the cast connects the two again, so
  both are asked first whether they are done. This makes it rare, not impossible: a test that must not
  be connected takes a peer that never was. A peer that takes part in a mesh is connected to all of it then.
  """
  def connect(peer) do
    true = Node.connect(peer.node)
    greet(peer)
    if peer.flags == :default, do: wait_until(fn -> join(peer) end)
    true
  end

  @doc "Waits until `global` has greeted a connected peer, and has been greeted by it, see `connect/1`."
  def greet(peer) do
    for side <- [node(), peer.node], do: :sys.get_state({:global_name_server, side})
  end

  # `global` connects nodes that have not met before. A hidden one takes no part in this.
  defp join(peer) do
    others = Node.list() -- [peer.node]
    for other <- others, do: call(peer, Node, :connect, [other])
    peer.node not in Node.list() or others -- call(peer, Node, :list, []) == []
  end

  @doc "This VM, in place of a peer."
  def here, do: %__MODULE__{control: nil, node: node()}

  # How long a mesh must have stood before it counts as settled, in steps of 10 milliseconds.
  @calm 30

  @doc """
  Connects nodes until all are connected to all, and stay so.

  After a cut, `global` may go on to cut for a while.
  """
  def mesh(nodes, calm \\ 0, attempts \\ 1_000)
  def mesh(_, @calm, _), do: :ok

  def mesh(nodes, calm, attempts) when attempts > 0 do
    for node <- nodes, other <- nodes, node != other, do: call(node, Node, :connect, [other.node])
    Process.sleep(10)
    mesh(nodes, if(Enum.all?(nodes, &meshed?(&1, nodes)), do: calm + 1, else: 0), attempts - 1)
  end

  defp meshed?(node, nodes) do
    connected = [node.node | call(node, Node, :list, [])]
    Enum.all?(nodes, &(&1.node in connected))
  end

  @doc "Cuts the distribution link to a peer and returns when both sides have noticed."
  def disconnect(peer) do
    Node.disconnect(peer.node)
    here = node()
    wait_until(fn -> peer.node not in Node.list(:connected) end)
    wait_until(fn -> here not in call(peer, :erlang, :nodes, [:connected]) end)
  end

  @doc "Kills the VM of a peer."
  def kill(peer), do: shell("kill -KILL #{peer.os_pid}")

  @doc "Stops the VM of a peer where it is, until `resume/1`, but for 30 seconds at most."
  def suspend(peer) do
    shell("kill -STOP #{peer.os_pid}; (sleep 30; kill -CONT #{peer.os_pid}) > /dev/null 2>&1 &")
  end

  @doc "Lets a stopped peer go on, if it is there."
  def resume(peer), do: shell("kill -CONT #{peer.os_pid} 2> /dev/null || true")

  @doc "Stops a peer for so many milliseconds."
  def freeze(peer, ms) do
    suspend(peer)
    Process.sleep(ms)
    resume(peer)
  end

  defp shell(command) do
    {_, 0} = System.cmd("sh", ["-c", command])
    :ok
  end

  @doc "Stops a peer."
  def stop(peer), do: :peer.stop(peer.control)

  @doc """
  Waits until a condition holds, and fails when it does not within twenty seconds.

  A busy machine may need some of them. A peer that is suspended stays so for longer than that.
  """
  def wait_until(condition, attempts \\ 2_000) do
    cond do
      condition.() -> :ok
      attempts == 0 -> raise ExUnit.AssertionError, "the condition did not come to hold"
      true -> Process.sleep(10) && wait_until(condition, attempts - 1)
    end
  end

  @doc "What all nodes of a run are configured with: `ZEN_MONITOR_WIRE=v2 mix test` has them speak as version 2 does."
  def configured do
    for wire <- List.wrap(System.get_env("ZEN_MONITOR_WIRE")), do: {:wire, String.to_atom(wire)}
  end

  defp given_name(opts) do
    case Keyword.fetch(opts, :name) do
      {:ok, node} -> node |> Atom.to_charlist() |> Enum.take_while(&(&1 != ?@))
      :error -> :peer.random_name()
    end
  end

  defp args(opts) do
    paths = for path <- :code.get_path(), path != ~c".", arg <- [~c"-pa", path], do: arg
    dynamic = if opts[:name] == :dynamic, do: [~c"-name", ~c"undefined@127.0.0.1"], else: []
    hidden = if Keyword.get(opts, :hidden, false), do: [~c"-hidden"], else: []
    cookie = [~c"-setcookie", Atom.to_charlist(Node.get_cookie())]
    flags = opts |> Keyword.fetch!(:flags) |> flags()
    carrier = opts |> Keyword.get(:carrier, :tcp) |> carrier()

    kernel =
      for {key, value} <- Keyword.get(opts, :kernel, []),
          arg <- [~c"-kernel", Atom.to_charlist(key), to_charlist(value)],
          do: arg

    dynamic ++ hidden ++ cookie ++ flags ++ carrier ++ kernel ++ paths
  end

  defp flags(:default), do: []

  # A cut link stays a matter between its two ends, and cut until the test mends it.
  defp flags(:alone) do
    [~c"-kernel", ~c"prevent_overlapping_partitions", ~c"false", ~c"-connect_all", ~c"false"]
  end

  defp carrier(:tcp), do: []

  defp carrier(tls) do
    [~c"-proto_dist", ~c"inet_tls", ~c"-ssl_dist_optfile", to_charlist(TLS.options_file(tls))]
  end
end
