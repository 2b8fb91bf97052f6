# Dustdevil. `make` alone prints this help.

PORT    ?= 8888
ADDRESS ?= 127.0.0.1
STORE   ?= memory
ARGS    ?=

.DEFAULT_GOAL := help
.PHONY: help run test check curl doc set-up cargo

help:  ## this help
	@echo "make run     start the demo on http://$(ADDRESS):$(PORT)/  (PORT=, ADDRESS=, STORE=, ARGS=)"
	@echo "make curl    tell its story with curl, in another terminal"
	@echo "make test    all tests, with what they need"
	@echo "make check   formatting, lints and documentation, without warnings"
	@echo "make doc     the documentation, as HTML"

run: cargo
	@cargo build --release --locked --quiet
	@ulimit -n $$(ulimit -H -n) 2>/dev/null; exec target/release/dustdevil --port $(PORT) --address $(ADDRESS) --store $(STORE) $(ARGS)

test: cargo set-up
	@ulimit -n $$(ulimit -H -n) 2>/dev/null; tests/set-up.sh run cargo test --locked

check: cargo
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --lib --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet

curl:
	@tests/curl/all.sh http://$(ADDRESS):$(PORT)

doc: cargo
	cargo doc --locked --no-deps
	@echo "target/doc/dustdevil/index.html"

# Real clients for the tests, as far as the system has them or can install them.
set-up:
	@tests/set-up.sh

cargo:
	@command -v cargo >/dev/null || { echo "make: cargo is missing; https://rustup.rs tells how to install it"; exit 1; }
