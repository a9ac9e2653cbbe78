defmodule Mix.ZenMonitor.Library.Target do
  @moduledoc false
  # The kinds of machines, by their names in Rust.

  @doc "The target that is set for Cargo, or else that of the VM that runs this."
  @spec wanted() :: String.t()
  def wanted, do: System.get_env("CARGO_BUILD_TARGET") || from(architecture())

  @doc """
  The name in Rust of what the VM calls its system architecture.

  An unknown architecture is returned as it is. It shows in the error that says that the library does not fit.
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
