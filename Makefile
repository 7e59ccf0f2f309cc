# The commands the project offers. CI runs `make test` and nothing else of substance.
#
#   make demo    the main job on this machine: a cluster rides through a power interruption, in under 90 seconds
#   make test    everything CI runs; as root it installs what the tests need, else it lists what is missing and fails
#   make bench   speed, and the planner's quality beside bounds and baselines; writes report/bench/ (docs/performance.md);
#                fails where a case of the codec takes more instructions than it did, or valgrind is missing
#   make fuzz    every fuzz target for FUZZ_SECONDS each (default 30)
#   make deps    what the tests need from Debian's packages
#   make debs    Debian packages of both programs; writes target/debian/
#   make lint    formatting, clippy, documentation

FUZZ_SECONDS ?= 30
CARGO ?= cargo

# What `make debs` packs, and where the packages go; the tests pack what they have built anyway.
DEBS_PROFILE ?= release
DEBS_FOLDER ?= target/debian
DEBS_REVISION ?= 1
CARGO_DEB_VERSION := 3.8.0
CARGO_DEB := target/tools/$(CARGO_DEB_VERSION)/bin/cargo-deb
# The folder below target/ where Cargo puts a profile's programs.
DEBS_BUILT := target/$(if $(filter dev,$(DEBS_PROFILE)),debug,$(DEBS_PROFILE))

.PHONY: demo test bench bench-codec bench-pdp bench-planner fuzz deps debs debs-of-built lint

demo:
	$(CARGO) build --locked --workspace --bins
	$(CARGO) run --locked --quiet --package system-tests --bin demo -- --report report/demo

test: deps lint $(CARGO_DEB)
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked --workspace

lint:
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet

bench: bench-codec bench-pdp bench-planner
	cat report/bench/codec.txt report/bench/instructions.txt report/bench/pdp.txt > report/bench/report.txt
	@echo "report/bench/report.txt, and as JSON report/bench/pdp.json; the planner's beside them"
	! grep -E "REGRESSION|MISSING" report/bench/instructions.txt

bench-codec:
	mkdir -p report/bench
	$(CARGO) bench --locked --package cops-codec --bench codec -- --json $(CURDIR)/report/bench/codec.json \
	  > report/bench/codec.txt
	cat report/bench/codec.txt
	$(CARGO) bench --locked --package cops-codec --bench codec -- --instructions \
	  --json $(CURDIR)/report/bench/instructions.json > report/bench/instructions.txt || true
	cat report/bench/instructions.txt

# Floors and PDP in one run; BENCH_LOAD takes other sizes, such as --peps 1000,5000.
bench-pdp:
	$(CARGO) build --locked --release --package system-tests --bin load
	target/release/load bench --report report/bench $(BENCH_LOAD)

bench-planner:
	$(CARGO) bench --locked --package power-policy
	$(CARGO) bench --locked --package system-tests

fuzz:
	fuzz/run-all.sh $(FUZZ_SECONDS)

deps:
	tests/deps.sh

$(CARGO_DEB):
	$(CARGO) install --locked --quiet --root target/tools/$(CARGO_DEB_VERSION) --version $(CARGO_DEB_VERSION) cargo-deb

debs:
	$(CARGO) build --locked --profile $(DEBS_PROFILE) --package pdp-server --package pep-agent --bins
	$(MAKE) debs-of-built

debs-of-built: $(CARGO_DEB)
	mkdir -p $(DEBS_FOLDER)
	set -e; for package in pdp-server pep-agent; do \
	  made=target/packaging/$$package; rm -rf $$made; mkdir -p $$made/man; \
	  $(DEBS_BUILT)/$$package man-pages $$made/man; \
	  for shell in bash zsh fish; do $(DEBS_BUILT)/$$package completions $$shell > $$made/$$shell; done; \
	  $(CARGO_DEB) --no-build --quiet --profile $(DEBS_PROFILE) --package $$package \
	    --deb-revision $(DEBS_REVISION) --output $(DEBS_FOLDER)/; \
	done
