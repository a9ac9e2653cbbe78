# Everything on a Debian machine that has Rust: `make demo` shows ZenMonitor at work between two
# nodes, `make test` runs every check there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:

# Without a UTF-8 locale the VM falls back to latin1, and Elixir warns about it at every start.
export LC_ALL := C.UTF-8
export ELIXIR_ERL_OPTIONS := +fnu

SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# $(call need,COMMAND,PACKAGES) installs PACKAGES unless COMMAND is there.
need = command -v $(1) > /dev/null || { $(SUDO) apt-get update && $(SUDO) apt-get install --yes $(2); }

.PHONY: demo test soak rust elixir dialyzer bench bench-small bench-fleet bench-core docs library test-matrix mix clean

demo: mix
	mix zen_monitor.demo

# Neither of the last two measures anything, and bench-small mostly waits. So they run at the same time.
test: rust elixir
	$(MAKE) dialyzer & dialyzer=$$!; \
	$(MAKE) bench-small || { kill $$dialyzer; exit 1; }; \
	wait $$dialyzer

# The long forms of the tests of faults and races: millions of operations, at most half an hour.
# SEED=123 repeats the choices of a run.
soak: mix
	ZEN_MONITOR_STRESS=1000 cargo test --package zen_monitor_core --release stress
	timeout --kill-after=10 1800 mix test --only soak $(if $(SEED),--seed $(SEED))

# The models run in seconds, and linking them as tightly as the library would take minutes.
define models
RUSTFLAGS="--cfg $(1)" CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	  cargo test --package zen_monitor_core --release --lib --target-dir target/$(1) models

endef

# The NIF crate links against the VM that loads it, so `mix test` is what tests it. The models have a
# target directory of their own, because their flags would rebuild everything each time.
rust:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --package zen_monitor_core
	cargo test --package zen_monitor_core --benches
	$(foreach checker,loom shuttle,$(call models,$(checker)))

elixir: mix
	mix format --check-formatted
	mix compile --warnings-as-errors
	mix test --warnings-as-errors
	ZEN_MONITOR_WIRE=v2 mix test $(FAULTS)

# What nodes with this version say to each other as version 2 does, once more.
FAULTS := test/system/crash_test.exs test/system/link_test.exs test/system/slow_test.exs test/system/ledger_test.exs test/system/kinds_test.exs test/system/mesh_test.exs

# Analysing OTP and Elixir takes minutes, so the result is kept, one file for each pair of versions.
# Status 2 means warnings: since OTP 26, about calls from there to what was left out.
dialyzer: mix
	@$(call need,dialyzer,erlang-dialyzer)
	mix compile
	mkdir -p .mix_plt
	export ERL_LIBS="$$(elixir -e 'IO.write(Path.dirname(:code.lib_dir(:elixir)))')"; \
	plt="$$(elixir -e 'IO.write(".mix_plt/otp-#{System.otp_release()}-elixir-#{System.version()}-mix")')"; \
	if [ ! -f $$plt ]; then \
	  dialyzer --quiet --build_plt --output_plt $$plt.new \
	    --apps erts kernel stdlib crypto elixir logger mix || [ $$? = 2 ]; \
	  mv $$plt.new $$plt; \
	fi; \
	dialyzer --plt $$plt -Wunknown -Werror_handling -r _build/dev/lib/zen_monitor/ebin

# Needs root; takes as long as three times `mix test`, and the first time some downloads.
test-matrix:
	@$(call need,debootstrap,debootstrap)
	.ci/test-matrix

# ExDoc as a command is what Debian has in elixir-ex-doc, since its version 13.
docs: mix
	mix compile
	if command -v ex_doc > /dev/null; then \
	  elixir -e '{:ok, _} = Application.ensure_all_started(:mix); Code.require_file("mix.exs"); \
	    IO.write(inspect(Mix.Project.config()[:docs], limit: :infinity))' > _build/docs.exs; \
	  ex_doc ZenMonitor "$$(sed -n 's/^  @version "\(.*\)"/\1/p' mix.exs)" \
	    _build/dev/lib/zen_monitor/ebin --config _build/docs.exs --output doc --warnings-as-errors; \
	elif mix help hex > /dev/null 2>&1; then \
	  MIX_ENV=docs mix do deps.get + docs --warnings-as-errors; \
	else \
	  echo "ExDoc is not at hand: install Hex (mix local.hex), or elixir-ex-doc on Debian 13"; exit 1; \
	fi

# The native library for machines without Rust, packed for each kind of them. `make library GLIBC=2.17`
# builds for systems as old as that, with cargo-zigbuild and Zig. Otherwise the linkers are Debian's cross
# compilers, and the glibc is theirs.
TARGETS := x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu
GLIBC :=
LIBRARIES := _build/libraries

linkers = CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc \
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc

library: mix
	@$(if $(GLIBC),,$(call need,x86_64-linux-gnu-gcc,gcc-x86-64-linux-gnu))
	@$(if $(GLIBC),,$(call need,aarch64-linux-gnu-gcc,gcc-aarch64-linux-gnu))
	rustup target add $(TARGETS)
	for target in $(TARGETS); do \
	  $(if $(GLIBC),,$(linkers)) mix zen_monitor.library.pack --target $$target \
	    --output $(LIBRARIES) $(if $(GLIBC),--glibc $(GLIBC)); \
	done

# `make bench SCENARIOS="monitor memory" SIZE=100000 ROUNDS=1` measures less. What it found goes into
# bench/README.md and, with the curves, into bench/results.
SCENARIOS :=
SIZE := 500000
ROUNDS := 3
bench = MIX_ENV=bench mix do deps.get, compile --warnings-as-errors && \
	MIX_ENV=bench mix run --no-start bench/run.exs

bench: mix
	$(bench) --size $(SIZE) --rounds $(ROUNDS) --readme bench/README.md --json bench/results $(SCENARIOS)

# No time that it shows means anything. It fails when a message is lost or a monitor is left.
bench-small: mix
	$(bench) --size 2500 --rounds 1 --time 0.01 --json _build/bench/results
	$(bench) --size 50 --rounds 1 --json _build/bench/results fleet

# The native tables with up to 200 million monitors, as far as the memory goes: some ten minutes and 18 GB.
bench-fleet: mix
	$(bench) --readme bench/README.md --json bench/results fleet

# What the native core costs by itself, in about twenty minutes.
bench-core:
	cargo bench --package zen_monitor_core

mix:
	@$(call need,mix,elixir erlang-dev erlang-nox)

clean:
	rm -rf _build target .mix_plt
