defmodule Mix.ZenMonitor.Library.Target do
  @moduledoc false
  # The machines that a library is for, by the names that Rust gives them.

  @doc "The target that Cargo is told of, or that of the VM that runs this."
  @spec wanted() :: String.t()
  def wanted, do: System.get_env("CARGO_BUILD_TARGET") || from(architecture())

  @doc """
  The name that Rust has for what the VM calls its system architecture.

  What is not known here is returned as it is, to be seen in the message that it does not fit.
  """
  @spec from(String.t()) :: String.t()
  def from(architecture) do
    case String.split(architecture, "-") do
      [cpu, _vendor, "linux", abi] -> "#{cpu}-unknown-linux-#{abi}"
      ["arm", "apple", "darwin" <> _] -> "aarch64-apple-darwin"
      [cpu, "apple", "darwin" <> _] -> "#{cpu}-apple-darwin"
      _ -> architecture
    end
  end

  defp architecture, do: to_string(:erlang.system_info(:system_architecture))
end
