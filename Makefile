# Every target that needs the environment builds it first; nothing is rebuilt while nothing changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup demo test test-slow lint types adapters bench bench-quick bench-scaling clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-15s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv with everything that demo and tests need

$(STAMP): pyproject.toml constraints.txt scripts/setup.sh
	PYTHON="$(PYTHON)" sh scripts/setup.sh "$(VENV)"
	@touch $(STAMP)

demo: $(STAMP)  ## the whole pipeline on the World Factbook: about a quarter of an hour on two cores
	$(BIN)/clara demo

test: $(STAMP)  ## the tests
	$(BIN)/pytest -q -n auto --maxprocesses 4 --dist worksteal

test-slow: $(STAMP)  ## the tests that take longer: the real backbone, more ways to train and to be killed, the notebooks
	$(BIN)/pytest -q -m 'slow and not gpu'
	$(BIN)/pytest -q --nbmake --nbmake-timeout 1200 notebooks/*.ipynb

lint: $(STAMP)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## mypy --strict on src and benchmarks
	$(BIN)/mypy

adapters: $(STAMP)  ## train the adapters that come with the package anew: hours, on data that CLARA_DATA names
	$(BIN)/python -m benchmarks.recipes.adapters

bench: $(STAMP)  ## speed beside the published recipe and beside the limit: about a quarter of an hour on two cores
	$(BIN)/python -m benchmarks.run

bench-quick: $(STAMP)  ## the same with its most important rows, one round each
	$(BIN)/python -m benchmarks.run --quick

bench-scaling: $(STAMP)  ## our speed over batch, length, memory tokens, candidates, corpus and processes
	$(BIN)/python -m benchmarks.scaling

clean:  ## remove the environment, caches and the run folders of demo and notebooks
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-run notebooks/runs build dist src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
