defmodule ZenMonitor.Config do
  @moduledoc false
  # The one place that knows every key of `config :zen_monitor`, its default and its valid values.
  # Values are read from the application environment at every use, so that a change at run time
  # takes effect by the next sweep.

  @app :zen_monitor

  # The longest time that a process can wait, and no amount comes near it. The NIFs decode such a
  # number on every platform.
  @max 0xFFFF_FFFF

  @positive "a positive integer of at most #{@max}"
  @non_negative "a non-negative integer of at most #{@max}"
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
    idle_timeout: {300_000, "#{@positive}, or :infinity"},
    sweep:
      {:leading_edge,
       ":leading_edge, :periodic, or a keyword list of these for #{inspect(@stages)}"},
    pacing: {false, "a positive integer of at most #{@max}, or false"}
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
          | :idle_timeout
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

  @spec put(key, term) :: :ok
  def put(key, value) do
    validate!(key, value)
    Application.put_env(@app, key, value)
  end

  @spec validate!() :: :ok
  def validate! do
    for {key, _} <- @options, do: validate!(key, get(key))
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
  defp valid?(:max_binary_size, value), do: value in 3..@max
  defp valid?(:hibernation_threshold, value), do: value in 0..@max
  defp valid?(:truncation_depth, value), do: value in 0..@max
  defp valid?(:idle_timeout, :infinity), do: true
  defp valid?(:pacing, false), do: true

  defp valid?(:sweep, [_ | _] = modes) do
    Keyword.keyword?(modes) and
      Enum.all?(modes, fn {stage, mode} -> stage in @stages and mode in @modes end)
  end

  defp valid?(:sweep, mode), do: mode in @modes
  defp valid?(_, value), do: value in 1..@max
end
