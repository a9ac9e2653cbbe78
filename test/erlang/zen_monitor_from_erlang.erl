%% What an Erlang programmer writes. Each test returns ok.
-module(zen_monitor_from_erlang).
-export([one/1, options/1, many/1, set/1, bulk_set/1, errors/1, others/1]).

one(Pid) ->
    Removed = zen_monitor:monitor(Pid),
    true = zen_monitor:demonitor(Removed),
    false = zen_monitor:demonitor(Removed, [flush, info]),
    Ref = zen_monitor:monitor(Pid),
    {Pid, killed} = killed(Pid, Ref),
    ok.

options(Pid) ->
    Tagged = zen_monitor:monitor(Pid, [{tag, gone}]),
    Bulk = zen_monitor:monitor(Pid, [bulk]),
    _ = killed(Pid, zen_monitor:monitor(Pid, [{bulk, false}])),
    receive {gone, Tagged, process, Pid, {zen_monitor, _}} -> ok end,
    receive {'DOWN', bulk, [{Bulk, Pid, {zen_monitor, _}}]} -> ok end.

many(Pid) ->
    Refs = zen_monitor:monitor_all([Pid, zen_monitor_nobody, Pid]),
    [_, Nobody, _] = Refs,
    receive {'DOWN', Nobody, process, {zen_monitor_nobody, Node}, {zen_monitor, noproc}} when Node =:= node() -> ok end,
    2 = zen_monitor:demonitor_all(Refs, [flush]),
    0 = zen_monitor:demonitor_all(Refs),
    [Tagged] = zen_monitor:monitor_all([Pid], [{tag, gone}]),
    1 = zen_monitor:demonitor_all([Tagged]),
    ok.

set(Pid) ->
    Set = zen_monitor:set_new(),
    2 = zen_monitor:set_put(Set, [Pid, self(), Pid]),
    1 = zen_monitor:set_delete(Set, self()),
    1 = zen_monitor:set_put(Set, self()),
    1 = zen_monitor:set_delete(Set, [self()], [flush]),
    true = zen_monitor:set_is_member(Pid, Set),
    1 = zen_monitor:set_size(Set),
    [Pid] = zen_monitor:set_to_list(Set),
    {Pid, killed} = killed(Pid, zen_monitor:set_ref(Set)),
    0 = zen_monitor:set_size(Set),
    ok = zen_monitor:set_close(Set, [flush]),
    ok = zen_monitor:set_close(Set).

bulk_set(Pid) ->
    Set = zen_monitor:set_new([bulk, {tag, gone}]),
    Ref = zen_monitor:set_ref(Set),
    1 = zen_monitor:set_put(Set, Pid),
    ok = watched(Pid),
    exit(Pid, kill),
    receive {gone, Ref, bulk, [{Pid, {zen_monitor, killed}}]} -> ok end.

%% With advice, as the shell shows it.
errors(Pid) ->
    Set = zen_monitor:set_new(),
    advice(fun() -> zen_monitor:monitor(1) end, "expected a pid"),
    advice(fun() -> zen_monitor:demonitor(Pid) end, "expected a reference"),
    advice(fun() -> zen_monitor:monitor(Pid, [bulk, {tag, 1}]) end, "bulk: true goes with"),
    advice(fun() -> zen_monitor:set_put(Set, ["name"]) end, "expected a pid"),
    advice(fun() -> zen_monitor:set_delete(Set, Pid, [info]) end, "flush: boolean"),
    advice(fun() -> zen_monitor:set_new(bulk) end, "options of a set"),
    Self = self(),
    spawn_link(fun() ->
        advice(fun() -> zen_monitor:set_put(Set, Pid) end, "belongs to"),
        Self ! done
    end),
    receive done -> ok end.

advice(Fun, Expected) ->
    try Fun() of
        Other -> error({no_error, Other})
    catch
        error:badarg:Stack ->
            #{general := Advice} = zen_monitor:format_error(badarg, Stack),
            true = string:find(Advice, Expected) =/= nomatch
    end.

others(Pid) ->
    compatible = zen_monitor:connect(node(Pid)),
    compatible = zen_monitor:compatibility(Pid),
    compatible = zen_monitor:compatibility_for_node(node(Pid)),
    #{monitors := 0} = zen_monitor:info(),
    #{monitored := 0} = zen_monitor:info(Pid),
    ok.

killed(Pid, Ref) ->
    ok = watched(Pid),
    exit(Pid, kill),
    receive {'DOWN', Ref, process, Object, {zen_monitor, Reason}} -> {Object, Reason} end.

watched(Pid) ->
    'Elixir.ZenMonitor.Case':wait_until_watched(Pid).
