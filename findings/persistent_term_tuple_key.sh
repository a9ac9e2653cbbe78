#!/usr/bin/env bash
# To read a persistent term under a tuple such as {my_app, limits} takes several times as long as under an atom.
#
# Seen with OTP 25 (Debian's erlang-base 1:25.2.3): 24 ns beyond the empty loop for a key of two atoms, 2 ns for an
# atom, whatever the value. The documentation recommends keys like {?MODULE, Key} and calls the lookup constant in
# time, so one would not look there. The hash of an atom lies ready; that of a tuple is computed at
# each call.
#
# Output: tuple / atom >= 2: true (nanoseconds before it, which depend on the machine)
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq "erlang-base=1:25.2.3*"
dpkg-deb -x erlang-base_*.deb .
export ROOTDIR="$folder/usr/lib/erlang" EMU=beam PROGNAME=erl
export BINDIR="$(echo "$ROOTDIR"/erts-*/bin)"

cat > keys.erl <<'END'
-module(keys).
-export([main/0]).

-define(TIMES, 2000000).

main() ->
    persistent_term:put({my_app, limits}, {3, 1024}),
    persistent_term:put(my_app_limits, {3, 1024}),
    Empty = best(fun empty/1),
    Tuple = best(fun tuple/1) - Empty,
    Atom = max(best(fun atom/1) - Empty, 0.1),
    io:format("tuple ~.1f ns, atom ~.1f ns~n", [Tuple, Atom]),
    io:format("tuple / atom >= 2: ~w~n", [Tuple / Atom >= 2]).

best(Loop) -> lists:min([time(Loop) || _ <- lists:seq(1, 9)]).
time(Loop) -> {Taken, ok} = timer:tc(fun() -> Loop(?TIMES) end), Taken * 1000 / ?TIMES.

empty(0) -> ok;
empty(N) -> _ = erlang:phash2(N, 1), empty(N - 1).

tuple(0) -> ok;
tuple(N) -> _ = erlang:phash2(N, 1), {3, _} = persistent_term:get({my_app, limits}), tuple(N - 1).

atom(0) -> ok;
atom(N) -> _ = erlang:phash2(N, 1), {3, _} = persistent_term:get(my_app_limits), atom(N - 1).
END

seen=$("$BINDIR/erlexec" -noshell -eval '{ok, _} = compile:file(keys), keys:main(), halt().')
echo "$seen"
echo "$seen" | grep -qx 'tuple / atom >= 2: true'
