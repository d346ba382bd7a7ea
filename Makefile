# `make` alone lists what there is. Every target sets up what it needs; a second time that costs nothing.

SHELL := bash
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

# uv: on PATH, as a module of some Python, or fetched into .uv/, which touches nothing of the system's. A command that is
# only a version manager's empty shim fails the test of being asked for its version.
FIND_UV = \
	if uv --version >/dev/null 2>&1; then UV=uv; \
	elif .uv/bin/uv --version >/dev/null 2>&1; then UV=.uv/bin/uv; \
	else \
	  for python in python3 python3.12 /usr/bin/python3 python; do \
	    if $$python -m uv --version >/dev/null 2>&1; then UV="$$python -m uv"; break; fi; \
	  done; \
	  for python in python3 python3.12 /usr/bin/python3 python; do \
	    if [ -n "$$UV" ]; then break; fi; \
	    if $$python -m pip --version >/dev/null 2>&1; then \
	      echo "fetching uv into .uv/"; \
	      mkdir -p .uv; echo '*' >.uv/.gitignore; \
	      $$python -m pip install --quiet --disable-pip-version-check --upgrade --target .uv uv && UV=.uv/bin/uv; \
	    fi; \
	  done; \
	fi; \
	if [ -z "$$UV" ]; then echo "dpm needs uv, or a Python with pip to fetch it. Install either and try again." >&2; exit 1; fi

.PHONY: help setup demo test test-slow lint types notebooks bench lock wheel clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## the environment in .venv: Python 3.12, the locked packages, dpm itself
	@:

$(READY): requirements.lock pyproject.toml .python-version
	@set -e; UV=; $(FIND_UV); \
	if ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' >/dev/null 2>&1; then \
	  $$UV venv --quiet --clear --python 3.12 $(VENV); \
	fi; \
	$$UV pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock; \
	$$UV pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .; \
	touch $(READY)

demo: setup ## the shipped study end to end: the answer, and where the report is
	@$(BIN)/dpm demo

# Most of these tests' time goes into compiling what is run once: without LLVM's optimisations it is a third less. The slow
# ones, the demo and the benchmarks run what users run.
test: setup ## every test but the slow ones
	JAX_DISABLE_MOST_OPTIMIZATIONS=1 $(PYTEST) -m "not slow"

test-slow: setup ## the tests that take minutes
	$(PYTEST) -m slow

lint: setup ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## static types
	$(BIN)/mypy

notebooks: setup ## every notebook executed again, in place
	$(BIN)/python notebooks/execute.py

bench: setup ## the times that the design promises, measured here
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; mkdir "$$folder/cold" "$$folder/warm"; \
	export DPM_COMPILATION_CACHE="$$folder/cache"; TIMEFORMAT='%1R s'; \
	clock() { cd "$$folder/$$1"; printf '%-28s' "dpm $$2, $$1 cache"; \
	  time $(CURDIR)/$(BIN)/dpm $$2 >log 2>&1 || { cat log; exit 1; }; }; \
	clock cold --help; clock cold demo; clock warm demo
	$(BIN)/python -m experiments.benchmarks.run

lock: ## requirements.lock afresh from pyproject.toml
	@set -e; UV=; $(FIND_UV); \
	$$UV pip compile -q --universal --generate-hashes --python-version 3.12 --extra dev --no-emit-index-url --no-header \
	  pyproject.toml -o requirements.lock

wheel: setup ## dist/: wheel and source archive
	$(BIN)/python -m build --no-isolation --outdir dist

clean: ## remove what was built and cached; runs/ and .venv/ stay
	rm -rf build dist .jax_cache .hypothesis .mypy_cache .pytest_cache .ruff_cache
