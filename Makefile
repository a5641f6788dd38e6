# Onrecord. `make` lists what there is to do.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TEST_READY := $(VENV)/.ready-to-test
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
BENCH_VENV := .venv-bench
BENCH_READY := $(BENCH_VENV)/.ready
BENCHMARKS := embedding retrieval_quality answers chunking ingest search startup records models evaluation simulations judges programs sandbox

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench clean

help: ## list what there is to do
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(READY) ## make .venv with Onrecord

demo: setup ## ask the documentation of Python's standard library
	@$(BIN)/onrecord demo

test: check ## run every check and every test (what CI runs)
	@tests/install-debian-packages
	@$(BIN)/python -m pytest -n auto --dist worksteal

check: $(TEST_READY) ## style and types
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy onrecord
	@for each in examples/*/; do MYPYPATH=$$each $(BIN)/mypy --explicit-package-bases \
	  --disable-error-code empty-body $$each || exit 1; done

bench: $(BENCH_READY) ## measure beside the peers; ONLY=name for one of benchmarks/*.py
	@for name in $(or $(ONLY),$(BENCHMARKS)); do \
	  echo "== $$name"; $(BENCH_VENV)/bin/python -m benchmarks.$$name || exit 1; done
	@$(BENCH_VENV)/bin/python -m benchmarks.measured

clean: ## remove what the other targets made
	rm -rf $(VENV) $(BENCH_VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Onrecord needs Python 3.11 or newer; name one with 'make PYTHON=python3.12 $(MAKECMDGOALS)'."; exit 1; }
	@echo "Setting up $(VENV) (once; under a minute) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "Python's venv module is missing: 'apt-get install python3-venv' brings it on Debian."; exit 1; }
	@$(PIP_INSTALL) -e '.[documents]'
	@touch $@

$(TEST_READY): $(READY)
	@echo "Adding what the tests need to $(VENV) (once; a few minutes, 2 GB) ..."
	@$(PIP_INSTALL) -e '.[test]'
	@touch $@

$(BENCH_READY): pyproject.toml
	@echo "Installing the peers that are measured beside us into $(BENCH_VENV) (once; minutes) ..."
	@$(PYTHON) -m venv $(BENCH_VENV)
	@$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench,encoder]'
	@touch $@
