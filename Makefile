# What a clone of ClusterLite can do; `make help` lists it.
#
# Everything goes into .venv and .cache beside this file; only the tests' parts (Nginx, Chromium,
# Java) are installed outside, and only by root on Debian. Python 3.11 or newer and make are all
# that must be there. PYTHON=python3.12 names another Python.

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory
export PYTHON

SETUP := sh tools/setup.sh
BIN := .venv/bin

.PHONY: help run test lint format bench bench-large cluster cluster-check fault-run soak pins clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /  make \1  /p' Makefile | awk '{ $$2 = sprintf("%-14s", $$2); print "  " $$0 }'

run: ## serve the sample on the embedded log; ARGS="--port 9000" is handed on
	@$(SETUP) run
	@exec $(BIN)/clusterlite serve $(ARGS)

test: ## run every test; ARGS="tests/unit -k token" picks some
	@$(SETUP) dev nginx chromium kafka
	@exec $(BIN)/python -m pytest $(ARGS)

lint: ## style, types and the layers between packages
	@$(SETUP) dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: ## let ruff format and mend what it can
	@$(SETUP) dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: ## measure against raw limits in the same run; ARGS="reads creates" picks rows
	@$(SETUP) dev kafka wrk chromium
	@exec $(BIN)/python -m benchmarks $(ARGS)

bench-large: ## the same with more rows, more records to catch up with, and a minute of idling
	@$(SETUP) dev kafka wrk chromium
	@exec $(BIN)/python -m benchmarks --large $(ARGS)

cluster: ## a real Kafka, three nodes and Nginx on port 8082, until Ctrl-C
	@$(SETUP) dev kafka nginx
	@exec $(BIN)/python -m clusterlite.testing.cluster $(ARGS)

cluster-check: ## load a cluster while a node is killed, then compare with the topic
	@$(SETUP) dev kafka nginx
	@exec $(BIN)/python -m clusterlite.testing.faults.cluster_check $(ARGS)

fault-run: ## faults in turn under load for ten minutes; ARGS="--minutes 2 --seed 7"
	@$(SETUP) dev kafka nginx
	@exec $(BIN)/python -m clusterlite.testing.faults $(ARGS)

soak: ## simulated clusters with new seeds; TIME=10m, SEED=7 to begin there
	@$(SETUP) dev
	@exec $(BIN)/python -m clusterlite.testing.simulator --soak $(or $(TIME),3m) \
		$(if $(SEED),--seed $(SEED))

# Compiled with the oldest Python: later ones need a part of what it needs, never more.
PIN := CUSTOM_COMPILE_COMMAND="make pins" PIP_FIND_LINKS= $(BIN)/pip-compile --quiet --upgrade \
	--generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host
pins: ## choose newer versions for requirements/*.txt (Python 3.11)
	@$(SETUP) dev
	@$(BIN)/python -c 'import sys; sys.exit("make pins needs Python 3.11") if sys.version_info[:2] != (3, 11) else None'
	$(PIN) --build-deps-for editable --output-file requirements/run.txt pyproject.toml
	$(PIN) --output-file requirements/dev.txt requirements/dev.in

clean: ## remove what set-up and checks made; a node's data folder stays
	rm -rf .venv .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
