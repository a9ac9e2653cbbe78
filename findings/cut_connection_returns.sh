#!/usr/bin/env bash
# A connection that is cut just after it was made may come back by itself.
#
# Seen with OTP 25 (Debian's erlang-base 1:25.2.3+dfsg-1+deb12u4), with auto-connection as it is by default: after
#   true = net_kernel:connect_node(Node), true = erlang:disconnect_node(Node)
# the two nodes may be connected again at once, though no code of the user has sent anything. It is the
# global_name_server: it greets each new node by gen_server:cast/2, and a cast connects. When it reads its nodeup only
# after the cut, its greeting makes a new connection. Its later messages are sent with noconnect, so one would take
# that for granted of the first one, too.
#
# Whether that happens in a given try is a matter of scheduling. So the global_name_server is held up here
# until the connection has been cut, as any busy one is. That a message makes the new connection is shown by the other
# tries: with {kernel, dist_auto_connect} set to never, there is none.
#
# Output: came back: true, with never: false (after the counts, which were 20 and 0, and once 19 and 0)
set -euo pipefail

package="erlang-base=1:25.2.3+dfsg-1+deb12u4"
folder=$(mktemp -d)
started=()
trap 'for one in "${started[@]}"; do kill "$one" 2> /dev/null || true; done; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq "$package"
dpkg-deb -x erlang-base_*.deb .
echo "$package"
export ROOTDIR="$folder/usr/lib/erlang" EMU=beam PROGNAME=erl HOME="$folder"
export BINDIR="$(echo "$ROOTDIR"/erts-*/bin)"

# Both nodes listen: a node that does not is hidden, and global greets no hidden node.
export ERL_EPMD_PORT=$((20000 + RANDOM % 10000))
"$BINDIR/epmd" -address 127.0.0.1 > epmd.log 2>&1 &
started+=($!)
options=(-setcookie cut -start_epmd false -noshell)
"$BINDIR/erlexec" "${options[@]}" -name "a@127.0.0.1" -kernel dist_auto_connect never > a.log 2>&1 &
started+=($!)

cat > cut.erl <<'END_OF_ERL'
-module(cut).
-export([main/0]).

main() ->
    Node = 'a@127.0.0.1',
    ok = net_kernel:monitor_nodes(true),
    await(Node, 100),
    cut(Node),
    Auto = tries(Node),
    ok = application:set_env(kernel, dist_auto_connect, never),
    Never = tries(Node),
    io:format("~w and ~w of 20~n", [Auto, Never]),
    io:format("came back: ~w, with never: ~w~n", [Auto > 0, Never > 0]),
    halt().

tries(Node) -> length([again || _ <- lists:seq(1, 20), comes_back(Node)]).

comes_back(Node) ->
    ok = sys:suspend(global_name_server),
    true = net_kernel:connect_node(Node),
    receive {nodeup, Node} -> ok end,
    cut(Node),
    ok = sys:resume(global_name_server),
    %% Once it has answered, it has greeted. If that connects, nodeup is not far.
    _ = sys:get_state(global_name_server),
    receive {nodeup, Node} -> cut(Node), true after 500 -> false end.

cut(Node) ->
    true = erlang:disconnect_node(Node),
    receive {nodedown, Node} -> ok end.

await(Node, Left) when Left > 0 ->
    case net_kernel:connect_node(Node) of
        true -> receive {nodeup, Node} -> ok end;
        _ -> timer:sleep(100), await(Node, Left - 1)
    end.
END_OF_ERL

seen=$("$BINDIR/erlexec" "${options[@]}" -name "b@127.0.0.1" \
  -eval '{ok, _} = compile:file(cut), cut:main().')
echo "$seen"
echo "$seen" | grep -qx 'came back: true, with never: false'
