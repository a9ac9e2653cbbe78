defmodule ZenMonitor.Hosts do
  @moduledoc false
  # Hosts of a network of their own: each is a network namespace with a cable, a veth pair, to a switch, a
  # bridge in one more namespace. A cable that is unplugged closes no socket, and nobody is told. Needs root, and
  # goes with the test that started it.

  import ExUnit.Callbacks, only: [on_exit: 1]

  alias ZenMonitor.Cluster

  @enforce_keys [:name, :address, :plug]
  defstruct [:name, :address, :plug]

  @doc "Why there can be no hosts here, or `nil`."
  def missing do
    probe = name("probe")

    case System.find_executable("ip") && run("ip", ["netns", "add", probe]) do
      nil ->
        "there is no ip command (package iproute2)"

      {_, 0} ->
        {_, 0} = run("ip", ["netns", "del", probe])
        nil

      {answer, _} ->
        "network namespaces are not allowed here: #{String.trim(answer)}"
    end
  end

  @doc "Starts so many hosts that reach each other. They are stopped, with all on them, when the test ends."
  def start(amount) do
    switch = name("switch")
    names = [switch | for(number <- 1..amount, do: name(number))]
    on_exit(fn -> Enum.each(names, &stop/1) end)
    for name <- names, do: ip(["netns", "add", name])
    ip(["-n", switch, "link", "add", "bridge", "type", "bridge"])
    ip(["-n", switch, "link", "set", "bridge", "up"])
    for number <- 1..amount, do: start_host(number, switch)
  end

  defp start_host(number, switch) do
    host = %__MODULE__{
      name: name(number),
      address: ~c"10.213.7.#{number}",
      plug: {switch, "plug#{number}"}
    }

    {switch, plug} = host.plug
    cable = ["type", "veth", "peer", "name", plug, "netns", switch]
    ip(["link", "add", "cable", "netns", host.name] ++ cable)
    ip(["-n", switch, "link", "set", plug, "master", "bridge", "up"])
    ip(["-n", host.name, "addr", "add", "#{host.address}/24", "dev", "cable"])
    ip(["-n", host.name, "link", "set", "cable", "up"])
    # For epmd, which the first node there starts.
    ip(["-n", host.name, "link", "set", "lo", "up"])
    host
  end

  defp stop(name) do
    {pids, _} = run("ip", ["netns", "pids", name])
    for pid <- String.split(pids), do: run("kill", ["-KILL", pid])
    run("ip", ["netns", "del", name])
  end

  @doc "Starts a node on a host, with the options of `ZenMonitor.Cluster.start_peer/1`."
  def start_peer(host, opts) do
    ip = String.to_charlist(System.find_executable("ip"))
    exec = {ip, [~c"netns", ~c"exec", ~c"#{host.name}", ~c"erl"]}
    Cluster.start_peer([host: host.address, exec: exec] ++ opts)
  end

  @doc "Unplugs the cable of a host."
  def unplug(%{plug: {switch, plug}}), do: ip(["-n", switch, "link", "set", plug, "down"])

  @doc "Plugs it in again."
  def plug(%{plug: {switch, plug}}), do: ip(["-n", switch, "link", "set", plug, "up"])

  # Those of other runs at the same time have others.
  defp name(suffix), do: "zm-#{System.pid()}-#{suffix}"

  defp ip(args), do: {_, 0} = run("ip", args)
  defp run(command, args), do: System.cmd(command, args, stderr_to_stdout: true)
end
