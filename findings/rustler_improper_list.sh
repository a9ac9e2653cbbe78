#!/usr/bin/env bash
# rustler decodes an improper list into a Vec by a panic, where it answers with badarg for all else that does not fit.
#
# Seen with rustler 0.39.0 on OTP 25 (Debian's erlang-base 1:25.2.3+dfsg-1+deb12u4): a NIF with an argument of type Vec<i64> raises
# badarg for an atom, for a list of atoms and for a tuple. For [1 | 2] it raises nif_panicked, after the panic was
# reported on standard error. The caller sees an error either way, but a function that decodes by
# itself and looks at the Result, as term.decode::<Vec<i64>>().is_ok(), never gets to see one.
#
# Output: [{ok,3},badarg,badarg,badarg,nif_panicked]
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

mkdir src
cat > Cargo.toml <<'END'
[package]
name = "lists"
version = "0.1.0"
edition = "2021"

[lib]
crate-type = ["cdylib"]

[dependencies]
rustler = "=0.39.0"
END
cat > src/lib.rs <<'END'
#[rustler::nif]
fn count(list: Vec<i64>) -> (rustler::Atom, usize) {
    (rustler::types::atom::ok(), list.len())
}

rustler::init!("improper");
END
cargo build --quiet

cat > improper.erl <<'END'
-module(improper).
-export([main/0, count/1]).
-on_load(load/0).

load() -> erlang:load_nif("target/debug/liblists", 0).
count(_) -> erlang:nif_error(not_loaded).

main() ->
    Try = fun(Term) -> try count(Term) catch error:Reason -> Reason end end,
    io:format("~w~n", [[Try(Term) || Term <- [[1, 2, 3], atom, [a, b], {1, 2}, [1 | 2]]]]).
END

seen=$("$BINDIR/erlexec" -noshell -eval '{ok, _} = compile:file(improper), improper:main(), halt().')
echo "$seen"
[ "$seen" = "[{ok,3},badarg,badarg,badarg,nif_panicked]" ]
