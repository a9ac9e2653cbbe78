defmodule Bench.Pair do
  @moduledoc false
  # Two nodes, of which one monitors the processes of the other, with the code of one contender.

  alias Bench.{Contender, LongSchedules, Options, Peer, Resources, Waiting}

  @enforce_keys [:contender, :local, :remote, :idle]
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          contender: Contender.t(),
          local: Peer.t(),
          remote: Peer.t(),
          idle: [non_neg_integer]
        }

  @typedoc "CPU time of both VMs in µs, and what the measured function returned."
  @type cost :: %{local: non_neg_integer, remote: non_neg_integer, result: term}

  # How long both must have been quiet, three times in a row, to count as settled, and after how many such
  # times they never will be.
  @window 50
  @patience 2_400

  @doc """
  Starts two nodes and connects them: with `settings:` of the contender, and with `pinned: true` each
  with one scheduler on a core of its own; with `schedulers:`, the one whose processes are monitored has that many.
  """
  @spec start(Contender.t(), Options.t(),
          settings: Contender.settings(),
          pinned: boolean,
          schedulers: pos_integer
        ) :: t
  def start(contender, options, settings) do
    [local, remote] =
      for {name, core} <- [{"local", 0}, {"remote", 1}] do
        core = if settings[:pinned], do: core
        schedulers = if name == "remote", do: settings[:schedulers]
        code = Contender.code(contender, options)
        peer = Peer.start("bench_#{name}", code, core: core, schedulers: schedulers)
        settings = Keyword.get(settings, :settings, :unthrottled)
        :ok = Peer.call(peer, Contender, :start, [contender, settings])
        :ok = Peer.call(peer, LongSchedules, :watch, [])
        peer
      end

    pair = %__MODULE__{contender: contender, local: local, remote: remote, idle: [0, 0]}
    connect(pair)
    if contender == :v2, do: %{pair | idle: idle(pair)}, else: pair
  end

  @doc "Connects the two."
  @spec connect(t) :: :ok
  def connect(pair), do: local(pair, Contender, :connect, [pair.contender, pair.remote.node])

  @doc "Calls a function on the node that monitors."
  @spec local(t, module, atom, [term]) :: term
  def local(pair, module, function, args), do: Peer.call(pair.local, module, function, args)

  @doc "Calls a function on the node that is monitored."
  @spec remote(t, module, atom, [term]) :: term
  def remote(pair, module, function, args), do: Peer.call(pair.remote, module, function, args)

  @doc """
  Stops both, once their tables are empty, and fails if they do not become so. Returns what held a
  scheduler for long.
  """
  @spec stop(t) :: [tuple]
  def stop(pair) do
    peers = [pair.local, pair.remote]

    for peer <- peers,
        do: Waiting.until(fn -> Peer.call(peer, Contender, :empty?, [pair.contender]) end)

    held = for peer <- peers, do: Peer.call(peer, LongSchedules, :seen, [])
    Enum.each(peers, &Peer.stop/1)
    Enum.concat(held)
  end

  @doc "What a function costs the two, from when they are quiet until they are quiet again."
  @spec measure(t, (() -> term)) :: cost
  def measure(pair, function) do
    settle(pair)
    before = cpu(pair)
    result = function.()
    settle(pair)
    [local, remote] = Enum.zip_with(cpu(pair), before, &-/2)
    %{local: local, remote: remote, result: result}
  end

  @doc "Waits until both are quiet."
  @spec settle(t) :: :ok
  def settle(pair), do: settle(pair, cpu(pair), 0, @patience)

  defp settle(_pair, _last, 3, _patience), do: :ok
  defp settle(_pair, _last, _quiet, 0), do: raise("the nodes do not come to rest")

  defp settle(pair, last, quiet, patience) do
    Process.sleep(@window)
    now = cpu(pair)
    used = Enum.zip_with(now, last, &-/2)
    quiet? = Enum.zip(used, pair.idle) |> Enum.all?(fn {used, idle} -> used <= idle end)
    settle(pair, now, if(quiet?, do: quiet + 1, else: 0), patience - 1)
  end

  # What each uses in a window when nothing is going on: version 2 has timers.
  defp idle(pair) do
    Process.sleep(4 * @window)
    before = cpu(pair)
    Process.sleep(10 * @window)
    for used <- Enum.zip_with(cpu(pair), before, &-/2), do: div(used, 10)
  end

  defp cpu(pair), do: for(peer <- [pair.local, pair.remote], do: Resources.cpu(peer.os_pid))
end
