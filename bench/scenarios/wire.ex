defmodule Bench.Scenarios.Wire do
  @moduledoc false
  # How many octets a subscription and a certificate take: for processes in the order in which they were started,
  # and in random order.

  @behaviour Bench.Scenario

  alias Bench.{Caller, Octets, Options, Pair, Report, Rounds, Standing, Targets}

  @impl true
  def run(options) do
    size = Options.scale(options, 300_000)
    result = Rounds.compare(options, [settings: :quick], fn _pair -> size end, &round/2)

    %Report{
      title: "the octets of each of #{size} monitors",
      rows:
        Report.rows(result, [
          {"a subscription, neighbours", "octets", :subscription_neighbours, {:at_most, 4}},
          {"a subscription, at random", "octets", :subscription_random, {:at_most, 11}},
          {"a certificate, neighbours", "octets", :certificate_neighbours, {:at_most, 4}},
          {"a certificate, at random", "octets", :certificate_random, {:at_most, 11}}
        ])
    }
  end

  defp round(pair, size) do
    {subscription_neighbours, certificate_neighbours} = measure(pair, size, :keep)
    {subscription_random, certificate_random} = measure(pair, size, :shuffle)

    %{
      subscription_neighbours: subscription_neighbours,
      subscription_random: subscription_random,
      certificate_neighbours: certificate_neighbours,
      certificate_random: certificate_random
    }
  end

  defp measure(pair, size, order) do
    Pair.remote(pair, Targets, :add, [size])
    if order == :shuffle, do: Pair.remote(pair, Targets, :shuffle, [])
    callers = Standing.caller(pair, size)
    {_, sent} = octets(pair, fn -> Pair.local(pair, Caller, :monitor, [callers]) end)
    {received, _} = octets(pair, fn -> Pair.local(pair, Caller, :mass_exit, [callers]) end)
    Pair.local(pair, Caller, :stop, [callers])
    {sent / size, received / size}
  end

  defp octets(pair, function) do
    Pair.settle(pair)
    {received, sent} = Pair.local(pair, Octets, :with, [pair.remote.node])
    function.()
    Pair.settle(pair)
    {received_now, sent_now} = Pair.local(pair, Octets, :with, [pair.remote.node])
    {received_now - received, sent_now - sent}
  end
end
