defmodule ZenMonitor.Local.Compatibility do
  @moduledoc false
  # The cache of what is known of a node. Any process may read it, and only the node's Connector writes it. A
  # node that does not answer as it should is not asked for a while, and for twice as long after each failure.

  alias ZenMonitor.{Local.Address, Native, Telemetry}

  # In ms.
  @base_penalty 1_000
  @maximum_penalty 60_000

  @type t ::
          :miss | :compatible | :unavailable | :incompatible | {:expired, attempt :: pos_integer}

  @spec cached(Address.key()) :: t
  def cached(key) do
    case Native.compatibility(key) do
      {:incompatible, enforce_until, attempt} ->
        if ZenMonitor.now() < enforce_until, do: :incompatible, else: {:expired, attempt}

      known ->
        known
    end
  end

  @doc "Notes that the node's Proxy has answered."
  @spec compatible(Address.key()) :: :ok
  def compatible(key) do
    Native.set_compatibility(key, :compatible, 0, 0)
    Telemetry.node_up(key)
    :ok
  end

  @doc "Notes that the node is not connected."
  @spec unavailable(Address.key()) :: :ok
  def unavailable(key) do
    Native.set_compatibility(key, :unavailable, 0, 0)
    :ok
  end

  @doc "Notes that so many attempts in a row have failed."
  @spec penalize(Address.key(), attempt :: pos_integer) :: :ok
  def penalize(key, attempt) do
    # The exponent is limited so that the power stays a small number.
    penalty = min(@maximum_penalty, @base_penalty * Bitwise.bsl(1, min(attempt, 16)))
    Native.set_compatibility(key, :incompatible, ZenMonitor.now() + penalty, attempt)
    Telemetry.node_incompatible(key, penalty, attempt)
    :ok
  end
end
