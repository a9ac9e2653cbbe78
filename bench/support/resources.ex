defmodule Bench.Resources do
  @moduledoc false
  # What a VM uses, read from outside, so that reading costs the VM nothing.

  # The unit in which Linux reports CPU time to user space, whatever its own clock: 10 ms.
  @tick 10_000

  # Memory is at rest when it has shrunk by less than `@noise` bytes so many times in a row, `@pause` ms apart.
  @steady 3
  @pause 1_000
  @noise 500_000

  @doc "The CPU time that an OS process has used in user and system mode, in µs, to the nearest 10 ms."
  @spec cpu(String.t()) :: non_neg_integer
  def cpu(os_pid), do: os_pid |> cpu_by_mode() |> Enum.sum()

  @doc "The same, by mode: user and system."
  @spec cpu_by_mode(String.t()) :: [non_neg_integer]
  def cpu_by_mode(os_pid) do
    # The name of the command, in parentheses, may hold anything.
    fields = "/proc/#{os_pid}/stat" |> File.read!() |> String.split(") ") |> List.last()
    modes = fields |> String.split(" ") |> Enum.slice(11, 2)
    for ticks <- modes, do: String.to_integer(ticks) * @tick
  end

  @doc """
  The resident memory of an OS process that does nothing, in bytes, once its VM has given back free memory. That
  takes some seconds, and may be more than the memory that is measured.
  """
  @spec resident_at_rest(String.t()) :: non_neg_integer
  def resident_at_rest(os_pid), do: at_rest(os_pid, resident(os_pid), @steady)

  defp at_rest(_os_pid, resident, 0), do: resident

  defp at_rest(os_pid, last, left) do
    Process.sleep(@pause)
    now = resident(os_pid)
    at_rest(os_pid, now, if(last - now < @noise, do: left - 1, else: @steady))
  end

  defp resident(os_pid) do
    status = File.read!("/proc/#{os_pid}/status")
    [_, kilobytes] = Regex.run(~r/^VmRSS:\s+(\d+) kB$/m, status)
    String.to_integer(kilobytes) * 1024
  end

  @doc "The bytes of memory that the machine can still give."
  @spec available() :: non_neg_integer
  def available do
    [_, kilobytes] = Regex.run(~r/^MemAvailable:\s+(\d+) kB$/m, File.read!("/proc/meminfo"))
    String.to_integer(kilobytes) * 1024
  end

  @doc "The machine and the versions with which the results were taken."
  @spec machine() :: %{atom => String.t()}
  def machine do
    %{
      processor: "#{processor()}, #{:erlang.system_info(:logical_processors_available)} cores",
      system: :erlang.system_info(:system_architecture) |> List.to_string(),
      otp: System.otp_release(),
      elixir: System.version(),
      rust: first_line("rustc", ["--version"]),
      commit: first_line("git", ["describe", "--always", "--dirty"])
    }
  end

  defp processor do
    case Regex.run(~r/^model name\s*: (.*)$/m, File.read!("/proc/cpuinfo")) do
      [_, name] -> name
      nil -> "unknown processor"
    end
  end

  defp first_line(command, args) do
    {output, 0} = System.cmd(command, args)
    output |> String.split("\n") |> hd()
  rescue
    _ -> "unknown"
  end
end
