# `make demo` and `make test` need nothing but Python 3.11+ with pip: each makes its environment itself, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A second interpreter, when there is one: on 3.12 the SDK runs its C++ codec, on others its Python one.
OTHER_PYTHON ?= $(shell sh scripts/other_python)
OTHER_VENV := .venv-other
# What runs on it: all that depends on the SDK's codec. CI runs everything.
OTHER_TESTS ?= tests/unit/local tests/integration/engine tests/integration/history/test_fidelity.py
PYTEST_ARGS ?= -n 2
# Of the tests asked for there may be none that is slow: pytest's status 5.
on_other = @$(if $(OTHER_PYTHON),$(OTHER_VENV)/bin/pytest $(PYTEST_ARGS) $(1) $(OTHER_TESTS) || [ $$? -eq 5 ],\
	echo "No second Python (3.12 or 3.13) found: tests run on the default one only.")
# A recent pip, which finds what fits in half the time; and modules are compiled when they are imported, as most never are.
INSTALL := -m pip install --quiet --disable-pip-version-check
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: demo test test-slow environments lint format typecheck bench clean help

demo: $(VENV)/.ready-demo  ## Watch conversations being kept and resumed, and documents being searched
	@$(BIN)/tablestore-memory demo

test: environments  ## Run the fast tests, and those of the wire format on a second Python where there is one
	$(BIN)/pytest $(PYTEST_ARGS) -m "not slow"
	$(call on_other,-m "not slow")

test-slow: environments  ## Run the slow tests in the same way; half an hour on two cores
	$(BIN)/pytest $(PYTEST_ARGS) -m slow
	$(call on_other,-m slow)

lint: $(VENV)/.ready  ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.ready  ## Mend style and format where a tool can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(VENV)/.ready  ## Check types (mypy, strict)
	$(BIN)/mypy

bench: $(VENV)/.ready-bench  ## Measure against peers, side by side; about a quarter of an hour on two cores
	$(BIN)/python -m benchmarks

clean:  ## Remove the environments and caches
	rm -rf $(VENV) $(OTHER_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# One environment beside the other: pip uses one core.
environments:
	@$(MAKE) --no-print-directory -j2 $(VENV)/.ready $(if $(OTHER_PYTHON),$(OTHER_VENV)/.ready)

$(VENV)/bin/python:
	@echo "Making an environment in $(VENV), once. It takes a minute or two."
	@$(PYTHON) -m venv $(VENV)
	@$@ $(INSTALL) --upgrade pip

$(VENV)/.ready-demo: $(VENV)/bin/python pyproject.toml
	$(BIN)/python $(INSTALL) --no-compile -e '.[cli,local]'
	@touch $@

$(VENV)/.ready: $(VENV)/bin/python pyproject.toml
	$(BIN)/python $(INSTALL) --no-compile -e '.[cli,local,test,lint]'
	@touch $@ $(VENV)/.ready-demo

$(VENV)/.ready-bench: $(VENV)/.ready
	$(BIN)/python $(INSTALL) --no-compile -e '.[cli,local,test,bench]'
	@touch $@

$(OTHER_VENV)/bin/python:
	@$(OTHER_PYTHON) -m venv $(OTHER_VENV)
	@$@ $(INSTALL) --upgrade pip

$(OTHER_VENV)/.ready: $(OTHER_VENV)/bin/python pyproject.toml
	$(OTHER_VENV)/bin/python $(INSTALL) --no-compile -e '.[cli,local,test]'
	@touch $@
