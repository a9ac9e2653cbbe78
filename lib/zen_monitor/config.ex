defmodule ZenMonitor.Config do
  @moduledoc false
  # The one place that knows every key of `config :zen_monitor`, its default and its valid values.
  # Values are read from the application environment at every use, so a change at run time takes effect by
  # the next sweep. The exceptions are the limits of truncation, because reading them there takes longer than truncating
  # most reasons, and what `ZenMonitor.StandIn` notes.

  import Bitwise

  @app :zen_monitor
  # The key is an atom, which is found several times as fast as any other term.
  @truncation ZenMonitor.Config.Truncation
  # Truncation keeps nothing that lies deeper, whatever the setting.
  @deepest 100

  # The longest time that a process can wait, and more than any useful amount. The NIFs can decode such a
  # number on every platform.
  @max 0xFFFF_FFFF

  @positive "a positive integer of at most #{@max}"
  @limit "#{@positive} or :infinity"
  @non_negative "a non-negative integer of at most #{@max}"
  @unlimited [:max_pending_instructions, :max_pending_certificates, :idle_timeout]
  @stages [:connector, :batcher, :dispatcher]
  @modes [:leading_edge, :periodic]
  @options %{
    gen_module: {GenServer, "a module that exports call/3 and cast/2"},
    connector_sweep_interval: {100, @positive},
    connector_chunk_size: {5_000, @positive},
    batcher_sweep_interval: {100, @positive},
    batcher_chunk_size: {5_000, @positive},
    batcher_lookup_timeout: {30_000, @positive},
    demand_interval: {100, @positive},
    demand_amount: {1_000, @positive},
    hibernation_threshold: {1_000, @non_negative},
    max_binary_size: {1_024, "an integer of at least 3 and at most #{@max}"},
    truncation_depth: {3, @non_negative},
    read_heap: {true, "a boolean"},
    wire: {:compact, ":compact or :v2"},
    max_pending_instructions: {10_000_000, @limit},
    max_pending_certificates: {10_000_000, @limit},
    proxy_holders: {:schedulers, "an integer from 1 to 128, or :schedulers"},
    report_interval: {10_000, @positive},
    idle_timeout: {300_000, @limit},
    nodedown_grace: {0, @non_negative},
    sweep:
      {:leading_edge,
       ":leading_edge, :periodic, or a keyword list of these for #{inspect(@stages)}"},
    pacing: {false, "#{@positive}, or false"}
  }

  @type key ::
          :gen_module
          | :connector_sweep_interval
          | :connector_chunk_size
          | :batcher_sweep_interval
          | :batcher_chunk_size
          | :batcher_lookup_timeout
          | :demand_interval
          | :demand_amount
          | :hibernation_threshold
          | :max_binary_size
          | :truncation_depth
          | :read_heap
          | :wire
          | :max_pending_instructions
          | :max_pending_certificates
          | :proxy_holders
          | :report_interval
          | :idle_timeout
          | :nodedown_grace
          | :sweep
          | :pacing

  @typedoc "A kind of process that sweeps a queue."
  @type stage :: :connector | :batcher | :dispatcher

  @type sweep :: :leading_edge | :periodic

  for {key, {default, _}} <- @options do
    def get(unquote(key)), do: Application.get_env(@app, unquote(key), unquote(default))
  end

  @spec sweep(stage) :: sweep
  def sweep(stage) do
    case get(:sweep) do
      modes when is_list(modes) -> Keyword.get(modes, stage, :leading_edge)
      mode -> mode
    end
  end

  @doc "The number that stands for no limit."
  @spec unlimited() :: pos_integer
  def unlimited, do: @max

  @doc "A limit as the native tables take it."
  @spec limit(:max_pending_instructions | :max_pending_certificates) :: pos_integer
  def limit(key) do
    case get(key) do
      :infinity -> unlimited()
      limit -> limit
    end
  end

  @doc "The limits of truncation as last noted, in one number. The two guards below take it apart."
  @spec truncation() :: pos_integer
  def truncation do
    case :persistent_term.get(@truncation, nil) do
      nil -> note_truncation()
      limits -> limits
    end
  end

  @doc "The depth in noted limits."
  defguard truncation_depth(limits) when band(limits, 0x7F)

  @doc "How many bytes the longest binary that passes has, in noted limits."
  defguard max_binary_size(limits) when bsr(limits, 7)

  @doc """
  Notes the limits of truncation, since they may have been changed without `put/2`. A value that cannot work
  counts as the default.
  """
  @spec note_truncation() :: pos_integer
  def note_truncation do
    # One small integer, because when any larger term is replaced, the VM searches all processes for it.
    limits = valid(:max_binary_size) <<< 7 ||| min(valid(:truncation_depth), @deepest)
    # To put the same once more takes 20 µs, after a while of silence.
    if :persistent_term.get(@truncation, nil) != limits,
      do: :persistent_term.put(@truncation, limits)

    limits
  end

  defp valid(key) do
    value = get(key)
    {default, _} = Map.fetch!(@options, key)
    if valid?(key, value), do: value, else: default
  end

  @doc "Which values a key accepts, in words."
  @spec accepted(key) :: String.t()
  def accepted(key), do: @options |> Map.fetch!(key) |> elem(1)

  @spec put(key, term) :: :ok
  def put(key, value) do
    validate!(key, value)
    Application.put_env(@app, key, value)
    note_truncation()
    :ok
  end

  @spec validate!() :: :ok
  def validate! do
    for {key, _} <- @options, do: validate!(key, get(key))
    note_truncation()
    :ok
  end

  defp validate!(key, value) do
    {_, accepted} = Map.fetch!(@options, key)

    unless valid?(key, value) do
      raise ArgumentError,
            "invalid value for #{inspect(key)} of :zen_monitor: " <>
              "expected #{accepted}, got: #{inspect(value)}"
    end
  end

  defp valid?(:gen_module, value), do: is_atom(value) and value not in [nil, true, false]
  defp valid?(:read_heap, value), do: is_boolean(value)
  defp valid?(:wire, value), do: value in [:compact, :v2]
  defp valid?(:max_binary_size, value), do: value in 3..@max
  defp valid?(:hibernation_threshold, value), do: value in 0..@max
  defp valid?(:nodedown_grace, value), do: value in 0..@max
  defp valid?(:truncation_depth, value), do: value in 0..@max
  defp valid?(:pacing, false), do: true
  defp valid?(:proxy_holders, value), do: value == :schedulers or value in 1..128
  defp valid?(key, :infinity) when key in @unlimited, do: true

  defp valid?(:sweep, [_ | _] = modes) do
    Keyword.keyword?(modes) and
      Enum.all?(modes, fn {stage, mode} -> stage in @stages and mode in @modes end)
  end

  defp valid?(:sweep, mode), do: mode in @modes
  defp valid?(_, value), do: value in 1..@max
end
