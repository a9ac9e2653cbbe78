#!/usr/bin/env bash
# A binary made by putting a few bytes behind another one takes twice its size.
#
# Seen with OTP 25 (Debian's erlang-base 1:25.2.3+dfsg-1+deb12u4): for a Part of 1,021 bytes,
#   <<Part/binary, "...">>            binary:referenced_byte_size/1 is 2,048
#   <<Part:1021/binary, "...">>       binary:referenced_byte_size/1 is 1,024
# Both are equal and have a byte_size/1 of 1,024. Without a size, the compiler takes the first segment for
# the beginning of something that grows, and the VM leaves room for as much again. The room stays for as long as
# the binary does. To give the size that the segment has anyway is enough to avoid it.
#
# Output: {1024,1024,2048,1024}
set -euo pipefail

package="erlang-base=1:25.2.3+dfsg-1+deb12u4"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq "$package"
dpkg-deb -x erlang-base_*.deb .
echo "$package"
export ROOTDIR="$folder/usr/lib/erlang" EMU=beam PROGNAME=erl
export BINDIR="$(echo "$ROOTDIR"/erts-*/bin)"

cat > room.erl <<'END'
-module(room).
-export([main/0]).

main() ->
    Part = random(1021),
    Appended = <<Part/binary, "...">>,
    Sized = <<Part:1021/binary, "...">>,
    true = Appended =:= Sized,
    io:format("~w~n", [{byte_size(Appended), byte_size(Sized),
                        binary:referenced_byte_size(Appended),
                        binary:referenced_byte_size(Sized)}]).

random(N) -> list_to_binary([rand:uniform(256) - 1 || _ <- lists:seq(1, N)]).
END

seen=$("$BINDIR/erlexec" -noshell -eval '{ok, _} = compile:file(room), room:main(), halt().')
echo "$seen"
[ "$seen" = "{1024,1024,2048,1024}" ]
