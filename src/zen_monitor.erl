%% @doc ZenMonitor for Erlang.
%%
%% Each function does what the function of the same name does in the Elixir module `ZenMonitor'; `set_put/2' does what
%% `ZenMonitor.Set.put/2' does, and so on. They are documented there. Two things differ:
%% <ul>
%%   <li>Where those raise an `ArgumentError', these fail with `badarg', and the shell shows what is wrong.</li>
%%   <li>Options may be written as atoms: `[flush]', `[bulk]'.</li>
%% </ul>
%%
%% ```
%% Ref = zen_monitor:monitor(Pid),
%% receive
%%     {'DOWN', Ref, process, Pid, {zen_monitor, Reason}} -> Reason
%% end.
%%
%% Set = zen_monitor:set_new(),
%% SetRef = zen_monitor:set_ref(Set),
%% 2 = zen_monitor:set_put(Set, [Pid, {name, Node}]),
%% receive
%%     {'DOWN', SetRef, process, Object, {zen_monitor, Reason}} -> {Object, Reason}
%% end.
%% '''
-module(zen_monitor).

-export([monitor/1, monitor/2, demonitor/1, demonitor/2]).
-export([monitor_all/1, monitor_all/2, demonitor_all/1, demonitor_all/2]).
-export([set_new/0, set_new/1, set_ref/1, set_put/2, set_delete/2, set_delete/3]).
-export([set_is_member/2, set_size/1, set_to_list/1, set_close/1, set_close/2]).
-export([compatibility/1, compatibility_for_node/1, connect/1, info/0, info/1]).
-export([format_error/2]).

-export_type([destination/0, object/0, monitor_option/0, set/0, set_option/0]).

-compile({no_auto_import, [monitor/2, demonitor/1, demonitor/2]}).

-type destination() :: pid() | {Name :: atom(), node()} | (Name :: atom()).
%% What can be monitored: a pid, a name on a node, or a name on this node.

-type object() :: pid() | {Name :: atom(), node()}.
%% What a message says has died.

-type monitor_option() :: {tag, term()} | {alias, explicit_unalias} | bulk | {bulk, boolean()}.

-type set_option() :: {tag, term()} | bulk | {bulk, boolean()}.

-type set() :: #{'__struct__' := 'Elixir.ZenMonitor.Set', ref := reference(), owner := pid(), bulk := boolean()}.

-define(ZEN_MONITOR, 'Elixir.ZenMonitor').
-define(SET, 'Elixir.ZenMonitor.Set').

%% Makes `Call', and turns an `ArgumentError' into `badarg'. `Arguments' are those of the calling function.
-define(CALL(Call, Arguments),
    try
        Call
    catch
        error:#{'__struct__' := 'Elixir.ArgumentError', message := Advice} ->
            Info = #{module => ?MODULE, cause => Advice},
            erlang:error(badarg, Arguments, [{error_info, Info}])
    end
).

-spec monitor(destination()) -> reference().
monitor(Destination) ->
    ?CALL(?ZEN_MONITOR:monitor(Destination), [Destination]).

-spec monitor(destination(), [monitor_option()]) -> reference().
monitor(Destination, Options) ->
    ?CALL(?ZEN_MONITOR:monitor(Destination, unfold(Options)), [Destination, Options]).

-spec demonitor(reference()) -> true.
demonitor(Ref) ->
    ?CALL(?ZEN_MONITOR:demonitor(Ref), [Ref]).

-spec demonitor(reference(), [flush | info]) -> boolean().
demonitor(Ref, Options) ->
    ?CALL(?ZEN_MONITOR:demonitor(Ref, Options), [Ref, Options]).

-spec monitor_all([destination()]) -> [reference()].
monitor_all(Destinations) ->
    ?CALL(?ZEN_MONITOR:monitor_all(Destinations), [Destinations]).

-spec monitor_all([destination()], [monitor_option()]) -> [reference()].
monitor_all(Destinations, Options) ->
    ?CALL(?ZEN_MONITOR:monitor_all(Destinations, unfold(Options)), [Destinations, Options]).

%% @doc Returns how many of the monitors there were.
-spec demonitor_all([reference()]) -> non_neg_integer().
demonitor_all(Refs) ->
    ?CALL(?ZEN_MONITOR:demonitor_all(Refs), [Refs]).

-spec demonitor_all([reference()], [flush]) -> non_neg_integer().
demonitor_all(Refs, Options) ->
    ?CALL(?ZEN_MONITOR:demonitor_all(Refs, Options), [Refs, Options]).

-spec set_new() -> set().
set_new() ->
    ?SET:new().

-spec set_new([set_option()]) -> set().
set_new(Options) ->
    ?CALL(?SET:new(unfold(Options)), [Options]).

%% @doc The reference that the messages of a set carry.
-spec set_ref(set()) -> reference().
set_ref(#{'__struct__' := ?SET, ref := Ref}) ->
    Ref.

%% @doc Returns how many of the destinations are new.
-spec set_put(set(), destination() | [destination()]) -> non_neg_integer().
set_put(Set, Destinations) ->
    ?CALL(?SET:put(Set, Destinations), [Set, Destinations]).

%% @doc Returns how many of the destinations were members.
-spec set_delete(set(), destination() | [destination()]) -> non_neg_integer().
set_delete(Set, Destinations) ->
    ?CALL(?SET:delete(Set, Destinations), [Set, Destinations]).

-spec set_delete(set(), destination() | [destination()], [flush | {flush, boolean()}]) ->
    non_neg_integer().
set_delete(Set, Destinations, Options) ->
    ?CALL(?SET:delete(Set, Destinations, unfold(Options)), [Set, Destinations, Options]).

-spec set_is_member(destination(), set()) -> boolean().
set_is_member(Destination, Set) ->
    ?CALL(?SET:'member?'(Set, Destination), [Destination, Set]).

-spec set_size(set()) -> non_neg_integer().
set_size(Set) ->
    ?CALL(?SET:size(Set), [Set]).

-spec set_to_list(set()) -> [object()].
set_to_list(Set) ->
    ?CALL(?SET:to_list(Set), [Set]).

-spec set_close(set()) -> ok.
set_close(Set) ->
    ?CALL(?SET:close(Set), [Set]).

-spec set_close(set(), [flush | {flush, boolean()}]) -> ok.
set_close(Set, Options) ->
    ?CALL(?SET:close(Set, unfold(Options)), [Set, Options]).

-spec compatibility(destination()) -> compatible | incompatible.
compatibility(Destination) ->
    ?CALL(?ZEN_MONITOR:compatibility(Destination), [Destination]).

-spec compatibility_for_node(node()) -> compatible | incompatible.
compatibility_for_node(Node) ->
    ?CALL(?ZEN_MONITOR:compatibility_for_node(Node), [Node]).

-spec connect(node()) -> compatible | incompatible.
connect(Node) ->
    ?CALL(?ZEN_MONITOR:connect(Node), [Node]).

-spec info() -> map().
info() ->
    ?ZEN_MONITOR:info().

-spec info(destination()) -> map().
info(Destination) ->
    ?CALL(?ZEN_MONITOR:info(Destination), [Destination]).

%% @private
format_error(_Reason, [{_Module, _Function, _Arguments, Info} | _]) ->
    #{cause := Advice} = proplists:get_value(error_info, Info),
    #{general => Advice}.

%% `flush' is `{flush, true}' to Elixir. What is no proper list is for the one that is called.
unfold([Option | Options]) when is_atom(Option) ->
    [{Option, true} | unfold(Options)];
unfold([Option | Options]) ->
    [Option | unfold(Options)];
unfold(Options) ->
    Options.
