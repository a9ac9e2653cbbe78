defmodule ZenMonitor.Native do
  @moduledoc false
  # The stubs of the NIF library, and nothing else. What each function does is documented where it
  # is implemented, in `native/zen_monitor_nif/src/calls`.

  alias ZenMonitor.Config

  # The compiler would load it as soon as it is compiled, in a VM that may not have the configuration yet.
  @compile {:autoload, false}
  @on_load :load

  @doc false
  def load do
    :zen_monitor
    |> :code.priv_dir()
    |> :filename.join(~c"native/zen_monitor_nif")
    |> :erlang.load_nif(Config.get(:read_heap))
  end

  # batcher/outbox.rs
  def proxy_answer_certificates(_connector), do: stub()
  def proxy_enqueue(_connector, _encoded), do: stub()
  def proxy_take(_connector, _version, _limit), do: stub()
  def proxy_take_bulky(_connector, _version, _limit), do: stub()
  def proxy_version(_connector), do: stub()
  def proxy_sent(_connector), do: stub()
  def proxy_withhold(_connector, _unused, _limit), do: stub()
  def proxy_shed(_connector), do: stub()
  def proxy_note(_limits, _latest), do: stub()
  def proxy_passed_on(_connector, _now), do: stub()
  def proxy_take_back(_connector), do: stub()

  # callers/monitors.rs
  def monitor(_subscriber, _node, _target, _ref), do: stub()
  def demonitor(_ref), do: stub()
  def monitors(_subscriber, _node, _target), do: stub()
  def monitor_with(_subscriber, _node, _target, _monitor, _options), do: stub()

  # callers/sets.rs
  def set_open(_ref, _tag, _bulk), do: stub()
  def set_put(_ref, _destinations, _name), do: stub()
  def set_delete(_ref, _destinations, _name), do: stub()
  def set_close(_ref), do: stub()
  def set_member(_ref, _destinations, _name), do: stub()
  def set_size(_ref), do: stub()
  def set_members(_ref, _name), do: stub()

  # callers/several.rs
  def monitor_all(_destinations, _refs, _bulk, _name), do: stub()
  def demonitor_all(_refs), do: stub()
  def has_bulk, do: stub()

  # connector/certificates.rs
  def connector_certify(_node, _certificates, _stand_in), do: stub()
  def connector_certify_bulky(_node, _certificates), do: stub()

  # connector/compact.rs
  def connector_take_parts(_node, _name, _limit), do: stub()
  def connector_certify_runs(_node, _runs, _reasons, _stand_in), do: stub()
  def connector_certify_bulky_runs(_node, _runs, _reasons), do: stub()

  # connector/compatibility.rs
  def compatibility(_node), do: stub()
  def set_compatibility(_node, _compatibility, _enforce_until, _attempt), do: stub()

  # connector/duty.rs
  def connector(_node), do: stub()
  def connector_answer(_node), do: stub()
  def connector_rest(_node), do: stub()
  def connector_is_unused(_node), do: stub()
  def connector_retire(_node), do: stub()
  def connector_is_wanted(_node), do: stub()
  def connectors_wanted, do: stub()

  # connector/grace.rs
  def connector_hold(_node, _now, _grace, _asked), do: stub()
  def connector_recognize(_node, _life), do: stub()
  def connector_resume(_node, _limit), do: stub()
  def connector_held(_node), do: stub()

  # connector/instructions.rs
  def connector_resubscribe(_node), do: stub()
  def connector_take(_node, _name, _limit), do: stub()
  def connector_confirm(_node), do: stub()
  def connector_withdraw(_node), do: stub()
  def connector_fail(_node), do: stub()
  def connector_excess(_node, _limit), do: stub()
  def connector_shed(_node, _amount), do: stub()
  def connector_expire(_node), do: stub()

  # dispatcher/delivery.rs
  def dispatcher_answer, do: stub()
  def dispatcher_deliver(_name, _limit, _shares), do: stub()
  def dispatcher_deliver_bulky(_name, _limit, _shares), do: stub()
  def dispatcher_note(_limits, _shares), do: stub()
  def dispatcher_rest, do: stub()

  # local.rs
  def backlog_answer, do: stub()
  def backlog_expand(_most), do: stub()
  def backlog_rest, do: stub()
  def departures_answer, do: stub()
  def departures_sweep, do: stub()
  def departures_rest, do: stub()

  # observers/counters.rs
  def local_counters, do: stub()
  def batch_length, do: stub()
  def proxy_counters, do: stub()

  # observers/malformed.rs
  def malformed(_amount, _interval), do: stub()
  def malformed_count, do: stub()

  # observers/sizes.rs
  def sizes, do: stub()

  # observers/survey.rs
  def proxy_outbox_len(_connector), do: stub()
  def proxy_watchers(_destination), do: stub()
  def survey_nodes, do: stub()
  def survey_subscribers(_limit), do: stub()
  def survey_sets, do: stub()
  def outbox_len(_node), do: stub()
  def held(_name, _pid), do: stub()
  def watchers(_node, _target), do: stub()

  # observers/vm.rs
  def reads_heap, do: stub()
  def knows_pids, do: stub()

  # proxy/certificates.rs
  def proxy_certify(_exits, _now), do: stub()
  def proxy_certify_bulky(_destination, _reason), do: stub()

  # proxy/holding.rs
  def proxy_hold(_monitors, _wanted), do: stub()

  # proxy/instructions.rs
  def proxy_process(_connector, _node, _part, _monitors, _now), do: stub()

  # proxy/upkeep.rs
  def proxy_reset(_holders), do: stub()
  def proxy_holders, do: stub()
  def proxy_free, do: stub()
  def proxy_attach(_pid), do: stub()
  def proxy_detach(_connector), do: stub()
  def proxy_release, do: stub()
  def proxy_answer_departures, do: stub()
  def proxy_sweep, do: stub()
  def proxy_speak(_connector, _version), do: stub()
  def proxy_is_unused(_connector), do: stub()

  # state.rs
  def start, do: stub()
  def stop, do: stub()
  def free, do: stub()

  # truncation.rs
  def truncate(_term, _depth, _max_binary_size), do: stub()

  # window.rs
  def window, do: stub()
  def dispatcher_window, do: stub()
  def proxy_window(_connector), do: stub()
  def window_room(_window, _now, _interval, _budget), do: stub()
  def window_since(_window, _time), do: stub()
  def window_enter(_window, _now, _interval, _amount), do: stub()

  # `:erlang.nif_error/1` is known never to return, which would make every caller look dead to
  # Dialyzer; behind a remote call it is merely opaque.
  defp stub, do: :erlang.nif_error(:nif_not_loaded)
end
