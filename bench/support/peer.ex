defmodule Bench.Peer do
  @moduledoc false
  # A VM of its own, controlled over its standard input and output: the VM that controls it is no
  # node, and is not part of what is measured.

  alias Bench.Waiting

  @enforce_keys [:control, :node, :os_pid]
  defstruct @enforce_keys

  @type t :: %__MODULE__{control: pid, node: node, os_pid: String.t()}

  @cookie ~c"zen_monitor_bench"

  # Where there is one core, a scheduler that spins before it sleeps takes it from a dirty scheduler.
  @calm ~w"+sbwt none +sbwtdcpu none +sbwtdio none"c

  @doc """
  Starts a VM with the code of a contender, on one core only if that is given, and with so many schedulers. It
  stops with the calling process.
  """
  @spec start(String.t(), [Path.t()],
          core: non_neg_integer | nil,
          schedulers: pos_integer | nil
        ) :: t
  def start(name, code, options \\ []) do
    paths = Enum.flat_map(code, &[~c"-pa", String.to_charlist(&1)])

    # Whether to connect, and when to part, is up to the scenario.
    alone = [
      ~c"-connect_all",
      ~c"false",
      ~c"-kernel",
      ~c"prevent_overlapping_partitions",
      ~c"false"
    ]

    start = %{
      name: String.to_charlist("#{name}_#{System.pid()}_#{System.unique_integer([:positive])}"),
      host: ~c"127.0.0.1",
      longnames: true,
      connection: :standard_io,
      args: [~c"+P", ~c"5000000", ~c"-setcookie", @cookie] ++ alone ++ paths
    }

    start = start |> pin(options[:core]) |> schedulers(options[:schedulers])
    {:ok, control, node} = :peer.start_link(start)

    os_pid = control |> :peer.call(:os, :getpid, []) |> List.to_string()
    peer = %__MODULE__{control: control, node: node, os_pid: os_pid}
    for module <- modules(), do: load(peer, module)
    {:ok, _} = call(peer, Application, :ensure_all_started, [:elixir])
    peer
  end

  @doc "Calls a function in the VM, and waits for as long as it takes."
  @spec call(t, module, atom, [term]) :: term
  def call(peer, module, function, args) do
    :peer.call(peer.control, module, function, args, :infinity)
  end

  @doc "Stops the VM, and waits until the machine has its memory back."
  @spec stop(t) :: :ok
  def stop(peer) do
    :peer.stop(peer.control)
    # The end of a VM with gigabytes takes a second.
    Waiting.until(fn -> not File.dir?("/proc/#{peer.os_pid}") end, 6_000)
  end

  @doc "The code path of a VM that runs this project's own build."
  @spec own_code() :: [Path.t()]
  def own_code, do: for(path <- :code.get_path(), path != ~c".", do: List.to_string(path))

  @doc "The code path of a VM that runs another build in place of it."
  @spec other_code([Path.t()]) :: [Path.t()]
  def other_code(ebins) do
    own = :zen_monitor |> :code.lib_dir() |> Path.join("ebin")
    ebins ++ Enum.reject(own_code(), &(Path.expand(&1) == own))
  end

  # A VM has as many schedulers as it has cores.
  defp pin(start, nil), do: start

  defp pin(start, core) do
    [taskset, erl] =
      for command <- ["taskset", "erl"] do
        System.find_executable(command) ||
          Mix.raise("cannot keep a VM on one core: there is no #{command}")
      end

    core = rem(core, System.schedulers_online())
    arguments = for argument <- ["-c", "#{core}", erl], do: String.to_charlist(argument)
    exec = {String.to_charlist(taskset), arguments}
    Map.merge(start, %{exec: exec, args: @calm ++ start.args})
  end

  defp schedulers(start, nil), do: start
  defp schedulers(start, n), do: %{start | args: [~c"+S", ~c"#{n}:#{n}" | start.args]}

  # The suite lies beside this project's code, which not every VM has on its path.
  defp modules do
    {:ok, modules} = :application.get_key(:zen_monitor, :modules)
    # Not all of them are Elixir's.
    Enum.filter(modules, &String.starts_with?(Atom.to_string(&1), "Elixir.Bench."))
  end

  defp load(peer, module) do
    {^module, binary, file} = :code.get_object_code(module)
    {:module, ^module} = call(peer, :code, :load_binary, [module, file, binary])
  end
end
