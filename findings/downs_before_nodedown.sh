#!/usr/bin/env bash
# When a connection is lost, all 'DOWN' messages of its monitors come before the nodedown message, and in the order in
# which the monitors were placed.
#
# Seen with OTP 25 (Debian's erlang-base 1:25.2.3+dfsg-1+deb12u4), ten times of ten with 1,000 monitors. The documentation orders the
# signals between two processes. The two kinds of messages have no sender in common, and the monitors
# are of 1,000 processes, so one would expect any order. It also says of net_kernel:monitor_nodes/1 only how its
# messages stand to those of the connection itself.
#
# Output: placed in order true, nodedown last true (a line for each try)
set -euo pipefail

package="erlang-base=1:25.2.3+dfsg-1+deb12u4"
folder=$(mktemp -d)
other=
trap '[ -z "$other" ] || kill "$other" 2> /dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq "$package"
dpkg-deb -x erlang-base_*.deb .
echo "$package"
export ROOTDIR="$folder/usr/lib/erlang" EMU=beam PROGNAME=erl HOME="$folder"
export BINDIR="$(echo "$ROOTDIR"/erts-*/bin)"

# Two nodes that find each other without a daemon.
port=$((20000 + RANDOM % 10000))
options=(-setcookie order -start_epmd false -erl_epmd_port "$port" -noshell)
"$BINDIR/erlexec" "${options[@]}" -name "a@127.0.0.1" > a.log 2>&1 &
other=$!

cat > order.erl <<'END'
-module(order).
-export([main/0]).

main() ->
    Node = 'a@127.0.0.1',
    wait(Node, 100),
    %% A node that does not listen is hidden.
    ok = net_kernel:monitor_nodes(true, [{node_type, all}]),
    lists:foreach(fun(_) -> try_once(Node) end, lists:seq(1, 10)),
    halt().

wait(Node, Left) when Left > 0 ->
    case net_kernel:connect_node(Node) of
        true -> ok;
        _ -> timer:sleep(100), wait(Node, Left - 1)
    end.

try_once(Node) ->
    wait(Node, 100),
    Pids = [spawn(Node, timer, sleep, [infinity]) || _ <- lists:seq(1, 1000)],
    Placed = [monitor(process, Pid) || Pid <- Pids],
    flush(),
    true = erlang:disconnect_node(Node),
    Seen = collect(1001),
    Downs = [Ref || {'DOWN', Ref, process, _, noconnection} <- Seen],
    io:format("placed in order ~w, nodedown last ~w~n",
              [Downs =:= Placed, nodedown_of(lists:last(Seen)) =:= Node]).

flush() -> receive {nodeup, _, _} -> flush() after 0 -> ok end.

nodedown_of({nodedown, Node, _}) -> Node;
nodedown_of(_) -> none.

collect(0) -> [];
collect(N) -> receive Message -> [Message | collect(N - 1)] after 10000 -> [timeout] end.
END

seen=$("$BINDIR/erlexec" "${options[@]}" -name "b@127.0.0.1" -dist_listen false \
  -eval '{ok, _} = compile:file(order), order:main().')
echo "$seen"
[ "$(echo "$seen" | grep -cx 'placed in order true, nodedown last true')" = 10 ]
