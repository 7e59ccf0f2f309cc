# The commands the project offers. CI runs `make test` and nothing else of substance.
#
#   make demo    the main job on this machine: a cluster rides through a power interruption, in under 90 seconds
#   make test    everything CI runs; as root it installs what the tests need, else it lists what is missing and fails
#   make bench   speed, and the planner's quality beside bounds and baselines; writes report/bench/
#   make fuzz    every fuzz target for FUZZ_SECONDS each (default 30)
#   make deps    what the tests need from Debian's packages
#   make lint    formatting, clippy, documentation

FUZZ_SECONDS ?= 30
CARGO ?= cargo

.PHONY: demo test bench fuzz deps lint

demo:
	$(CARGO) build --locked --workspace --bins
	$(CARGO) run --locked --quiet --package system-tests --bin demo -- --report report/demo

test: deps lint
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked --workspace

lint:
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet

bench:
	$(CARGO) bench --locked --workspace

fuzz:
	fuzz/run-all.sh $(FUZZ_SECONDS)

deps:
	tests/deps.sh
