# The way in: `make demo`, `make test`. Each goal sets the machine up first (setup/install) if it must.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

BIN := .venv/bin
BPF := src/headrace/dataplane/bpf

# The lab finds BIRD here: its package is unpacked, never installed.
export PATH := $(CURDIR)/.tools/root/usr/sbin:$(PATH)

# Hundreds of starts of our programs would each compile the whole source anew: a second each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## List the goals
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

.PHONY: demo
demo: build ## Show the whole thing at work in network namespaces of its own
	@$(BIN)/headrace lab demo

.PHONY: setup
setup: ## Install what is missing: packages, BIRD for the lab, .venv
	@setup/install

.PHONY: build
build: setup ## Compile the BPF objects and the table kernel where they are stale
	@$(BIN)/python hatch_build.py

.PHONY: lint
lint: build ## Check style, types, imports between rooms and the C (compiled with -Werror)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/clang-format --dry-run -Werror $(BPF)/*.[ch] src/headrace/maglev/*.[ch]

.PHONY: test
test: lint ## Lint, then run every test; ARGS="-k name" runs some
	@$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: fuzz
fuzz: build ## Random packets, kernel against reference; PACKETS=10000000
	@$(BIN)/python -m tests.fuzz $(or $(PACKETS),1000000)

.PHONY: prove
prove: build ## The promises of tables and maps at full length: a figure beside each bound
	@$(BIN)/python -m tests.maglev.prove
	@$(BIN)/python -m tests.dataplane.prove

.PHONY: prove-stars
prove-stars: build ## Every network of the lab, those with a virtual machine's kernel too
	@$(BIN)/headrace lab check

.PHONY: prove-announce
prove-announce: build ## The promises about routes, in the lab: health, drain, BGP, BFD
	@missed=0; \
	$(BIN)/headrace lab prove announce || missed=1; \
	$(BIN)/python -m tests.health.speed || missed=1; \
	$(BIN)/python -m tests.daemon.speed || missed=1; \
	$(BIN)/python -m tests.control.speed || missed=1; \
	exit $$missed

.PHONY: prove-operate
prove-operate: build ## The promises to an operator: restarts under load, faults of the disk, scale, API
	@missed=0; \
	$(BIN)/python -m tests.operate.prove || missed=1; \
	$(BIN)/python -m tests.api.prove || missed=1; \
	exit $$missed

.PHONY: prove-kernels
prove-kernels: build ## The programs by two compilers on this kernel and Debian's: every packet case
	@$(BIN)/python -m tests.kernels

.PHONY: peer-vectors
peer-vectors: build ## Packet cases of the trade through the product; VECTORS=folder
	@$(BIN)/python -m tests.peer_vectors $(or $(VECTORS),../shared/vectors)

.PHONY: docs
docs: build ## The reference pages anew, and the documentation as a site in build/site
	@$(BIN)/python -m tests.reference
	@$(BIN)/zensical build --clean --strict

.PHONY: ci
ci: ## Do what CI does, in this checkout
	@CI=true bash .ci/run

.PHONY: format
format: setup ## Format the Python and the C
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/clang-format -i $(BPF)/*.[ch] src/headrace/maglev/*.[ch]

.PHONY: wheel
wheel: setup ## Build the wheel into dist/
	@$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist

.PHONY: lock
lock: setup ## Pin the newest allowed Python packages in constraints.txt
	@rm -rf .tools/lock
	@$(BIN)/python -m venv .tools/lock
	@.tools/lock/bin/pip install --quiet '.[dev,docs]'
	@.tools/lock/bin/pip freeze --exclude headrace > constraints.txt
	@rm -rf .tools/lock

.PHONY: clean
clean: ## Remove what was built; .venv and .tools stay
	@rm -rf dist build .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@rm -rf src/headrace/dataplane/objects/*.bpf.o src/headrace/maglev/_kernel.so
	@find src tests setup -name __pycache__ -prune -exec rm -rf {} +
