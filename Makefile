# Everything a fresh Debian 12 machine needs beside this file: python3, python3-venv, make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One more than cores: tests that wait for Ray, Prometheus or a signal leave theirs to others.
JOBS := $(shell expr $$(nproc) + 1)
DEMO := runs/demo-$(shell date -u +%Y%m%dT%H%M%S)

.PHONY: help install demo test test-long test-cluster lint format bench clean

help:
	@echo "make demo          install into $(VENV), simulate the baseline fleet, write its report"
	@echo "make test          install and run the tests (some ten minutes on two cores)"
	@echo "make test-long     the tests that take longer"
	@echo "make test-cluster  a job with a token on a Ray cluster of this machine, in an environment of its own"
	@echo "make lint          ruff and mypy"
	@echo "make bench         speed, with rows and faults per node-year beside it"

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "installing into $(VENV) what the project and its tests need: about 110 packages, 450 MB to fetch; a minute, or more on a slow line"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --progress-bar off -c constraints.txt -e '.[dev]'
	@touch $@

install: $(VENV)/.installed

demo: install
	@echo "simulating 10,000 servers for a year under four policies: some ten seconds"
	$(BIN)/hwpoison-fleet run -o $(DEMO)
	$(BIN)/hwpoison-fleet report $(DEMO)

test: install
	@echo "running the tests: some ten minutes on two cores"
	$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test-long: install
	$(BIN)/pytest -m long

# Of its own, because Ray's agents take more time and memory in every test once they can serve a dashboard.
$(VENV)-cluster/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-cluster
	$(VENV)-cluster/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,cluster]'
	touch $@

test-cluster: $(VENV)-cluster/.installed
	$(VENV)-cluster/bin/pytest -m long tests/e2e/test_job_submit.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install
	$(BIN)/pytest -m bench -s tests/bench

clean:
	rm -rf $(VENV) $(VENV)-cluster .debian .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
