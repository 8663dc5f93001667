# `make demo` and `make test` do all their own set-up: a bare machine with Python 3.11 or newer and git is enough.
# Everything is installed into .venv, from pinned requirement files with hashes; nothing outside this folder changes.

SHELL := /bin/sh
VENV  := .venv
BIN   := $(VENV)/bin
PIP   := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input install
LOCKED := --require-hashes --no-deps --no-compile --no-build-isolation
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header --annotation-style=line \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

# `make demo SCENARIO=FILE`, `make test TESTS=tests/unit`, `make bench NAME=filtered`
SCENARIO ?= default
TESTS ?=
NAME ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint types bench screenshots wheel requirements clean

help: ## Show what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.run ## Show the dashboard on the embedded training range: no cluster, no root, no network
	@# Without a terminal it prints the report and exits 1, since the range has exposures: that is no failure of make's.
	@$(BIN)/kubeshield demo --scenario $(SCENARIO) || [ $$? -eq 1 ]

test: $(VENV)/.test ## Run the tests
	@CI=$${CI:-} $(BIN)/python -m pytest $(TESTS)

lint: $(VENV)/.test ## Check style, types and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.test ## Measure: one JSON line a figure; NAME=filtered|ports|matrix|... for one
	@$(BIN)/python -m tests.bench $(NAME)

screenshots: $(VENV)/.test ## Draw every screen of the demo as SVG into screenshots/
	@$(BIN)/kubeshield demo --screenshots screenshots

wheel: $(VENV)/.run ## Build the wheel into dist/
	@$(BIN)/python -m hatchling build -t wheel

requirements: $(VENV)/.test ## Resolve the requirement files again, within pyproject.toml's limits
	@$(PIP) pip-tools
	@for group in build run test; do \
		case $$group in run) source=pyproject.toml ;; *) source=.ci/requirements-$$group.in ;; esac; \
		case $$group in test) limits="--constraint .ci/requirements-run.txt --constraint .ci/requirements-build.txt" ;; *) limits= ;; esac; \
		$(COMPILE) $$limits --output-file .ci/requirements-$$group.txt $$source || exit 1; \
	done

clean: ## Remove the environment, caches and builds
	@rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# The environment, in three steps that each leave a stamp. Only what the product needs at run time stands between a fresh
# clone and the demo.
$(VENV)/.python:
	@sh .ci/python.sh $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.python .ci/requirements-build.txt .ci/requirements-run.txt pyproject.toml
	@echo "setting up $(VENV) (once; well under a minute)" >&2
	@$(PIP) --require-hashes --no-deps --no-compile -r .ci/requirements-build.txt
	@$(PIP) $(LOCKED) -r .ci/requirements-run.txt
	@$(PIP) --no-deps --no-build-isolation --no-compile --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.run .ci/requirements-test.txt
	@echo "adding the tools for tests to $(VENV) (once)" >&2
	@$(PIP) $(LOCKED) -r .ci/requirements-test.txt
	@touch $@
