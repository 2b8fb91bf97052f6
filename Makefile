# Dustdevil. `make` alone prints this help.

PORT    ?= 8888
ADDRESS ?= 127.0.0.1
STORE   ?= memory
DEBUG   ?=
ARGS    ?=
T       ?=
TIME    ?= 600
ROUNDS  ?= 7
PARTS   ?=
CHARTS  ?= target/charts
N       ?=
TARGET  ?=

FUZZ    := tests/fuzz
XRAY    := tests/xray
BENCH   := tests/bench
LAB     := tests/lab

# The features that the demo needs for its STORE.
FEATURES := cli $(if $(findstring redis,$(STORE)),redis) $(if $(findstring rediss://,$(STORE)),redis-tls)
# All features.
ALL      := cli json redis redis-tls

.DEFAULT_GOAL := help
.PHONY: help run xray play race lab lab-defences attacker test check fuzz bench curl doc set-up cargo fuzzer wrk

help:  ## print this help
	@echo "make run     start the demo on http://$(ADDRESS):$(PORT)/  (PORT=, ADDRESS=, STORE=, DEBUG=1, ARGS=)"
	@echo "make xray    start the demo under observation: each request leaves a film  (PORT=)"
	@echo "make play    send a transcript and print its film, such as T=7-chunked/size-overflowing"
	@echo "make race    print two requests that race for one session, side by side"
	@echo "make curl    run the curl lessons against it, in another terminal"
	@echo "make test    run all tests; installs the clients that they use"
	@echo "make check   check formatting, lints and documentation"
	@echo "make lab     break the tutorial, and see Dustdevil hold  (N=4: tell an attack, TARGET=: your server)"
	@echo "make lab-defences  take each defence away, and see the attack succeed  (N=)"
	@echo "make fuzz    fuzz the connection for TIME=$(TIME) seconds"
	@echo "make bench   benchmark against other servers, ROUNDS=$(ROUNDS)  (PARTS=: requests idle memory scale latency redis)"
	@echo "make doc     build the documentation as HTML"

run: cargo
	@cargo build --release --locked --quiet --features "$(FEATURES)"
	@ulimit -n $$(ulimit -H -n) 2>/dev/null; exec target/release/dustdevil --port $(PORT) --address $(ADDRESS) --store '$(STORE)' $(if $(DEBUG),--debug) $(ARGS)

# In the dev profile: the films need its debug information.
xray: cargo
	@cargo build --locked --quiet --manifest-path $(XRAY)/Cargo.toml --target-dir target
	@exec target/debug/dustdevil-xray --port $(PORT) --address $(ADDRESS) $(ARGS)

play: cargo
	@cargo build --locked --quiet --manifest-path $(XRAY)/Cargo.toml --target-dir target
	@exec target/debug/dustdevil-xray play '$(T)'

race: cargo
	@cargo build --locked --quiet --manifest-path $(XRAY)/Cargo.toml --target-dir target
	@exec target/debug/dustdevil-xray race

test: cargo set-up
	@ulimit -n $$(ulimit -H -n) 2>/dev/null; tests/set-up.sh run cargo test --locked --features "$(ALL)"
	@tests/set-up.sh run cargo test --locked --manifest-path $(XRAY)/Cargo.toml --target-dir target

check: cargo
	cargo fmt --check
	cargo fmt --check --manifest-path $(FUZZ)/Cargo.toml
	cargo fmt --check --manifest-path $(BENCH)/Cargo.toml
	cargo fmt --check --all --manifest-path $(XRAY)/Cargo.toml
	cargo fmt --check --manifest-path $(LAB)/Cargo.toml
	cargo clippy --locked --all-targets --features cli -- -D warnings
	cargo clippy --locked --all-targets --features "$(ALL)" -- -D warnings
	cargo clippy --locked --lib -- -D warnings
	cargo clippy --locked --lib --features redis -- -D warnings
	cargo clippy --locked --manifest-path $(BENCH)/Cargo.toml --target-dir target -- -D warnings
	cargo clippy --locked --workspace --all-targets --manifest-path $(XRAY)/Cargo.toml --target-dir target -- -D warnings
	cargo clippy --locked --manifest-path $(LAB)/Cargo.toml --target-dir target/lab -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --lib --quiet --features "$(ALL)" --document-private-items

lab: attacker
	@target/lab/debug/dustdevil-lab run $(N) $(if $(TARGET),--target '$(TARGET)')

# Takes each defence away that has a patch, in a copy of the source, and expects the attack to
# succeed. It compiles the copy once for each patch, which takes some minutes.
lab-defences: attacker
	@target/lab/debug/dustdevil-lab defences $(N)

attacker: cargo
	@cargo build --locked --quiet --manifest-path $(LAB)/Cargo.toml --target-dir target/lab

# Without a sanitizer: there is no unsafe code in which it would find errors, it needs a nightly
# toolchain, and it halves the number of runs. Inputs found earlier are in the corpus and run
# first.
fuzz: cargo fuzzer
	@mkdir -p $(FUZZ)/corpus/connection
	cargo fuzz run --fuzz-dir $(FUZZ) --sanitizer none connection \
		$(FUZZ)/corpus/connection $(FUZZ)/seeds -- -dict=$(FUZZ)/http.dict -max_len=4096 \
		-timeout=10 -max_total_time=$(TIME) -print_final_stats=1

bench: cargo wrk
	@cargo build --release --locked --quiet --features cli
	@cargo build --release --locked --quiet --manifest-path $(BENCH)/Cargo.toml
	@ulimit -n $$(ulimit -H -n) 2>/dev/null; \
		CHARTS='$(CHARTS)' exec $(BENCH)/target/release/dustdevil-bench $(ROUNDS) $(PARTS)

curl:
	@tests/curl/all.sh http://$(ADDRESS):$(PORT)

doc: cargo
	cargo doc --locked --no-deps --lib --features "$(ALL)" --document-private-items
	@echo "target/doc/dustdevil/index.html"

# Installs the real clients that the tests use, if the system allows it.
set-up:
	@tests/set-up.sh

# Installs cargo-fuzz, and checks for the C++ compiler that builds libFuzzer.
fuzzer:
	@command -v c++ >/dev/null || { echo "make: c++ is missing; libFuzzer is built with it"; exit 1; }
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --quiet --locked cargo-fuzz \
		|| { echo "make: cargo-fuzz is missing and cannot be installed"; exit 1; }

wrk:
	@command -v wrk >/dev/null || { echo "make: wrk is missing; tests/set-up.sh installs it"; exit 1; }

cargo:
	@command -v cargo >/dev/null || { echo "make: cargo is missing; see https://rustup.rs"; exit 1; }
