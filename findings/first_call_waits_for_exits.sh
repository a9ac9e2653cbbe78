#!/usr/bin/env bash
# Outside a release, the first call of a module loads it. That takes a millisecond. While 200,000 processes exit, it takes
# 35 to 200 times as long, though one would expect it to wait for the disk at most, and for a turn of the scheduler.
#
# Seen with OTP 25 (Debian's erlang-base 1:25.2.3+dfsg-1+deb12u4) on two cores: 0.6 to 1.4 ms, and 36 to 126. The code
# server looks for the module in each folder of the code path. For each it asks a process that opens files, which has the
# call made on another thread. So there are some turns to wait for in each folder, and each time all that is to exit comes
# first. With 40 folders, as an application and its libraries have them, the exits are often over by then. A process that
# handles them, and whose code was not loaded, finds them all in its mailbox.
#
# Output: while processes exit, the first call of a module takes ten times as long or more: true
#         when it was loaded before: false
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

# Most folders do not have the module.
mkdir -p library/{1..40}
for name in peace exits before; do
  printf -- '-module(%s).\n-export([call/0]).\ncall() -> ok.\n' "$name" > "library/40/$name.erl"
done
cat > first_call.erl <<'END'
-module(first_call).
-export([main/0]).

main() ->
    Peace = time(peace),
    Exits = during_exits(exits),
    {module, before} = code:ensure_loaded(before),
    Before = during_exits(before),
    io:format("while processes exit, the first call of a module takes ten times as long or more: ~w~n", [Exits >= 10 * Peace]),
    io:format("when it was loaded before: ~w~n", [Before >= 10 * Peace]),
    halt().

time(Module) ->
    {Time, ok} = timer:tc(fun() -> Module:call() end),
    Time.

during_exits(Module) ->
    Pids = [spawn(fun() -> receive never -> ok end end) || _ <- lists:seq(1, 200000)],
    {Killer, Monitor} = spawn_monitor(fun() -> [exit(Pid, kill) || Pid <- Pids] end),
    timer:sleep(20),
    Time = time(Module),
    receive {'DOWN', Monitor, process, Killer, normal} -> Time end.
END
cat > expected <<'END'
while processes exit, the first call of a module takes ten times as long or more: true
when it was loaded before: false
END
# A machine that is busy with something else makes the call in peace slow as well, so there are some tries.
for _ in {1..10}; do
  "$BINDIR/erlexec" -noshell -pz library/{1..40} -eval '
    [{ok, _} = compile:file("library/40/" ++ File, [{outdir, "library/40"}]) || File <- ["peace", "exits", "before"]],
    {ok, _} = compile:file(first_call),
    first_call:main().
  ' > seen
  diff expected seen > difference && break
done
cat seen
diff expected seen
