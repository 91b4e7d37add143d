# Entry points for people and CI. `make help` lists them.

# Whatever is expensive to build lives outside the work tree, keyed by version, and is shared by all checkouts.
HEADROOM_CACHE ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/headroom
export HEADROOM_CACHE
export CARGO_TARGET_DIR ?= $(HEADROOM_CACHE)/target
# Tests, demo and benches use the optimised profile without LTO: dependencies are compiled once.
CARGO ?= cargo
PROFILE := --release --locked
BIN := $(CARGO_TARGET_DIR)/release
# What is measured is what is shipped: static binaries, which also leave out what nobody calls of the C library.
DIST_TARGET ?= $(shell uname -m)-unknown-linux-musl
DIST := $(CARGO_TARGET_DIR)/$(DIST_TARGET)/dist
DIST_BUILD = CC="$(CC)" CARGO="$(CARGO)" packaging/build-static $(DIST_TARGET) $(1)
# Fuzzing needs coverage instrumentation, which the pinned toolchain's LLVM has, and nothing of nightly.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_DIR = $(CARGO_TARGET_DIR)/fuzz
FUZZ_RUSTFLAGS := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing
FUZZ_TARGETS ?= $(notdir $(wildcard fuzz/corpus/*))
FUZZ_SECONDS ?= 60
# One line for each control plane that the tests started: proof that the end-to-end level ran.
E2E_RECORD := $(CARGO_TARGET_DIR)/e2e-record
DENY_VERSION := 0.20.2
DENY := $(HEADROOM_CACHE)/tools/cargo-deny-$(DENY_VERSION)/bin/cargo-deny

# The Kubernetes that control-plane builds, and that bench, bench-perf and bench-controllers measure beside. Empty: the one of
# every test, which all other targets have whatever stands here.
KUBERNETES ?=
KUBERNETES_FLAG = $(if $(KUBERNETES),--kubernetes $(KUBERNETES))

# The checkout that built last. Cargo goes by modification times, and would take what another checkout built after the last
# change here for its own.
BUILT_BY := $(CARGO_TARGET_DIR)/checkout

# Scenarios wait for others most of their time.
TEST_THREADS ?= 4

# Runs tests, and fails when none of them started a control plane.
define WITH_RECORD
@rm -f "$(E2E_RECORD)" && mkdir -p "$(dir $(E2E_RECORD))"
RUST_TEST_THREADS=$(TEST_THREADS) HEADROOM_E2E_RECORD="$(E2E_RECORD)" $(CARGO) test $(PROFILE) --no-fail-fast $(1)
@test -s "$(E2E_RECORD)" || { echo "e2e: NO CONTROL PLANE WAS STARTED: the end-to-end level did not run" >&2; exit 1; }
@echo "e2e: scenarios ran on $$(wc -l < "$(E2E_RECORD)") real control planes"
endef

.DEFAULT_GOAL := help
.PHONY: help mine build dist control-plane demo test unit e2e lint fmt clippy deny bench bench-perf bench-memory bench-collector bench-controllers bench-budgets bench-hostile soak chaos bench-core bench-plan valgrind counts counts-baseline differential-record e2e-upstream fuzz reference docs-output clean-cache

help: ## List the targets
	@printf 'Headroom: a scheduler and controller manager for small Kubernetes clusters\n\n'
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nBuilt parts are kept in %s\n' "$(HEADROOM_CACHE)"

mine:
	@mkdir -p "$(CARGO_TARGET_DIR)"
	@test "$$(cat "$(BUILT_BY)" 2>/dev/null)" = "$(CURDIR)" || { find . -name '*.rs' -exec touch {} + && echo "$(CURDIR)" > "$(BUILT_BY)"; }

build: mine ## Build all binaries (optimised, without LTO)
	$(CARGO) build $(PROFILE) --workspace --bins

control-plane: mine ## Build the real Kubernetes parts from their Go modules (KUBERNETES=1.37.2: those of that version)
	@$(CARGO) build $(PROFILE) --quiet --workspace --bins
	@$(BIN)/control-plane build $(KUBERNETES_FLAG)

demo: build control-plane ## Show the main job on a real API server (KEEP=1 leaves it running)
	@$(BIN)/demo $(if $(KEEP),--keep) $(DEMO_FLAGS)

# Every target selects the whole workspace: cargo then resolves one set of features, and builds each dependency once.
test: lint image-test build control-plane valgrind ## Everything: lint, unit and property tests, scenarios
	$(call WITH_RECORD,--workspace)

unit: mine ## Unit and property tests, without a control plane
	$(CARGO) test $(PROFILE) --workspace --lib --bins

e2e: build control-plane ## Scenarios on real control planes
	$(call WITH_RECORD,--workspace --test '*')

lint: fmt clippy deny ## Formatting, clippy and cargo-deny

fmt:
	$(CARGO) fmt --all --check

clippy: mine
	$(CARGO) clippy $(PROFILE) --workspace --all-targets -- -D warnings

deny: $(DENY)
	$(DENY) --log-level warn --workspace check bans licenses sources

# Unoptimised: it runs for seconds and takes minutes to build.
$(DENY):
	@echo "Building cargo-deny $(DENY_VERSION), once, into $(HEADROOM_CACHE)/tools"
	$(CARGO) install --quiet --debug --locked --version $(DENY_VERSION) --root $(HEADROOM_CACHE)/tools/cargo-deny-$(DENY_VERSION) cargo-deny

dist: mine ## Build the processes as they are shipped (LTO, stripped; takes minutes)
	rustup target add $(DIST_TARGET)
	$(call DIST_BUILD,headroom-scheduler)
	$(call DIST_BUILD,headroom-controllers)

bench: build dist control-plane ## Measure ours beside stock on the same API server (writes docs/benchmarks/; KUBERNETES=1.37.2: beside that version)
	@HEADROOM_SCHEDULER_BIN=$(DIST)/headroom-scheduler HEADROOM_CONTROLLERS_BIN=$(DIST)/headroom-controllers $(BIN)/bench $(KUBERNETES_FLAG) $(BENCH_FLAGS)

bench-perf: BENCH_FLAGS ?= --workload 500Nodes
bench-perf: bench ## The same with scheduler_perf's workloads (docs/benchmarks/scheduler-perf.md)

bench-memory: build control-plane ## What becomes of small nodes, with stock and with ours (docs/benchmarks/memory.md)
	@$(BIN)/bench-memory $(BENCH_MEMORY_FLAGS)

bench-collector: build dist control-plane ## What measuring 1,000 nodes costs (docs/benchmarks/collector.md)
	@HEADROOM_CONTROLLERS_BIN=$(DIST)/headroom-controllers $(BIN)/bench-collector $(BENCH_COLLECTOR_FLAGS)

bench-controllers: build dist control-plane ## Measure our controllers beside stock's loops (docs/benchmarks/controllers.md; KUBERNETES=1.37.2)
	@HEADROOM_CONTROLLERS_BIN=$(DIST)/headroom-controllers $(BIN)/bench-controllers $(KUBERNETES_FLAG) $(BENCH_CONTROLLERS_FLAGS)

bench-budgets: build dist control-plane ## Memory, latency, cold start and idle cost beside their bars (docs/benchmarks/budgets.md)
	@HEADROOM_SCHEDULER_BIN=$(DIST)/headroom-scheduler HEADROOM_CONTROLLERS_BIN=$(DIST)/headroom-controllers $(BIN)/bench-budgets $(BENCH_BUDGETS_FLAGS)

soak: build dist control-plane ## Half an hour of pods that come and go: memory must stay flat (SOAK_FLAGS="--minutes 5")
	@HEADROOM_SCHEDULER_BIN=$(DIST)/headroom-scheduler HEADROOM_CONTROLLERS_BIN=$(DIST)/headroom-controllers $(BIN)/soak $(SOAK_FLAGS)

chaos: build control-plane ## Only the kills and the rough day of `make test` (HEADROOM_TIME_TRAVEL_SEEDS=20: so many days; HEADROOM_CHAOS_PAGE=docs/benchmarks/chaos.md writes a page of them)
	$(CARGO) test $(PROFILE) --workspace --test crash --test time_travel -- --nocapture

bench-core: mine ## Time the engine's decisions in process
	$(CARGO) bench -p headroom-engine

bench-plan: mine ## Time plans of 200 nodes with 2,000 pods
	$(CARGO) bench -p headroom-planner

bench-hostile: build ## Time pods as large as they may be (docs/benchmarks/hostile.md)
	@$(CARGO) bench -p headroom-engine --bench hostile | tee /dev/stderr | $(BIN)/bench-hostile

# What counts instructions. Where it is missing and we may, it is installed; the test says when it could not count.
valgrind:
	@command -v valgrind >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get install -y -q valgrind >/dev/null; } || true

counts: build valgrind ## Count the instructions of the hot loops, beside the baseline
	@$(BIN)/counts check

counts-baseline: build valgrind ## Write that baseline anew (scheduler/engine/counts/baseline/)
	@$(BIN)/counts record

differential-record: build control-plane ## Record what stock decides on generated clusters, and compare
	@$(BIN)/differential-record record $(DIFFERENTIAL_FLAGS)

e2e-upstream: build control-plane ## Run Kubernetes' own e2e specs with stock and with ours (writes docs/conformance/)
	@$(BIN)/control-plane build-e2e-test
	@$(BIN)/e2e-upstream $(E2E_UPSTREAM_FLAGS)

fuzz: mine ## Look for inputs that break a parser or the cycle (FUZZ_TARGETS="cycle wire" FUZZ_SECONDS=600)
	RUSTFLAGS="$(FUZZ_RUSTFLAGS)" $(CARGO) build --profile fuzz --locked -p headroom-fuzz --features libfuzzer --bin fuzz \
		--target $(HOST) --target-dir "$(FUZZ_DIR)"
	@set -e; for target in $(FUZZ_TARGETS); do \
		mkdir -p "$(FUZZ_DIR)/found/$$target"; echo "fuzz: $$target for $(FUZZ_SECONDS) s"; \
		HEADROOM_FUZZ_TARGET=$$target "$(FUZZ_DIR)/$(HOST)/fuzz/fuzz" "$(FUZZ_DIR)/found/$$target" "fuzz/corpus/$$target" \
			-max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 \
			-artifact_prefix="$(FUZZ_DIR)/$$target-"; \
	done

reference: mine ## Write docs/reference from the code (a test compares the two)
	$(CARGO) run $(PROFILE) --quiet -p headroom-docs --bin reference

docs-output: build control-plane ## Run the commands of the documents and write what they print behind them
	HEADROOM_DOCS_WRITE=1 $(CARGO) test $(PROFILE) --workspace --test scenarios -- docs:: --test-threads 1

clean-cache: ## Remove everything that was built outside the work tree
	rm -rf "$(HEADROOM_CACHE)"

include packaging/packaging.mk
