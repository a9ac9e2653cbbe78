#!/usr/bin/env bash
# A process that sets a timer of 2 ms whenever the last one has fired gets a message every 3 ms. With timers that are set to
# a point in time, it gets one every 2 ms.
#
# Seen with OTP 25 (Debian's erlang-base 1:25.2.3+dfsg-1+deb12u4). The documentation says that a timer does not fire early,
# and may be late. One would expect half a millisecond of rounding on average, and no more than what handling takes. But
# a relative time counts from the next whole millisecond of the VM's clock, and a timer fires right on one. So each
# round begins just after a whole millisecond, and loses nearly all of the next: with timers of 1 ms, half of all ticks.
#
# Output: timers of N ms: relative a tick every N + 1.0 ms, absolute every N.0 ms (a line for each of 1, 2 and 5)
set -euo pipefail

package="erlang-base=1:25.2.3+dfsg-1+deb12u4"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq "$package"
dpkg-deb -x erlang-base_*.deb .
echo "$package"
export ROOTDIR="$folder/usr/lib/erlang" EMU=beam PROGNAME=erl HOME="$folder"
export BINDIR="$(echo "$ROOTDIR"/erts-*/bin)"

cat > tick.erl <<'END'
-module(tick).
-export([main/0]).

main() ->
    lists:foreach(fun show/1, [1, 2, 5]),
    halt().

show(Ms) ->
    [Relative, Absolute] = [tick(Kind, Ms) || Kind <- [relative, absolute]],
    io:format("timers of ~w ms: relative a tick every ~.1f ms, absolute every ~.1f ms~n", [Ms, Relative, Absolute]).

%% The milliseconds from one tick to the next, in the median: a busy machine makes some of them longer.
tick(Kind, Ms) ->
    Ticks = ticks(Kind, Ms, erlang:monotonic_time(millisecond), 500),
    Pauses = lists:sort(lists:zipwith(fun(One, Next) -> Next - One end, lists:droplast(Ticks), tl(Ticks))),
    lists:nth(length(Pauses) div 2, Pauses) / 1000.

ticks(_, _, _, 0) -> [];
ticks(Kind, Ms, At, Left) ->
    case Kind of
        relative -> erlang:send_after(Ms, self(), tick);
        absolute -> erlang:send_after(At + Ms, self(), tick, [{abs, true}])
    end,
    receive tick -> ok end,
    [erlang:monotonic_time(microsecond) | ticks(Kind, Ms, At + Ms, Left - 1)].
END
cat > expected <<'END'
timers of 1 ms: relative a tick every 2.0 ms, absolute every 1.0 ms
timers of 2 ms: relative a tick every 3.0 ms, absolute every 2.0 ms
timers of 5 ms: relative a tick every 6.0 ms, absolute every 5.0 ms
END
# A machine that is busy with something else delays both, so there are some tries.
for _ in {1..20}; do
  "$BINDIR/erlexec" -noshell -eval '{ok, _} = compile:file(tick), tick:main().' > seen
  diff expected seen > difference && break
done
cat seen
diff expected seen
