# `make demo` and `make test` need nothing but Python 3.11+ with pip: each makes its environment itself, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A second interpreter, when there is one: on 3.12 the SDK runs its C++ codec, on others its Python one.
OTHER_PYTHON ?= $(shell sh scripts/other_python)
OTHER_VENV := .venv-other
# What runs on it: all that depends on the SDK's codec. CI runs everything.
OTHER_TESTS ?= tests/unit/local tests/integration/engine tests/integration/history
PYTEST_ARGS ?= -n 2

.DEFAULT_GOAL := help
.PHONY: demo test test-other quick lint format typecheck bench clean help

demo: $(VENV)/.ready-demo  ## Watch conversations being kept and resumed, and documents being searched
	@$(BIN)/tablestore-memory demo

test: $(VENV)/.ready test-other  ## Run all tests, and those of the wire format on a second Python where there is one
	$(BIN)/pytest $(PYTEST_ARGS)

ifneq ($(OTHER_PYTHON),)
test-other: $(OTHER_VENV)/.ready
	$(OTHER_VENV)/bin/pytest $(PYTEST_ARGS) -m "not slow" $(OTHER_TESTS)
else
test-other:
	@echo "No second Python (3.12 or 3.13) found: tests run on the default one only."
endif

quick: $(VENV)/.ready  ## Run the fast tests on the default Python
	$(BIN)/pytest $(PYTEST_ARGS) -m "not slow"

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

$(VENV)/bin/python:
	@echo "Making an environment in $(VENV), once. It takes a minute or two."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.ready-demo: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[cli,local]'
	@touch $@

$(VENV)/.ready: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[cli,local,test,lint]'
	@touch $@ $(VENV)/.ready-demo

$(VENV)/.ready-bench: $(VENV)/.ready
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[cli,local,test,bench]'
	@touch $@

$(OTHER_VENV)/.ready: pyproject.toml
	$(OTHER_PYTHON) -m venv $(OTHER_VENV)
	$(OTHER_VENV)/bin/pip install --quiet --disable-pip-version-check -e '.[cli,local,test]'
	@touch $@
