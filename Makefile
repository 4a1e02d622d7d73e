# Every target works alone on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN = $(VENV)/bin
export OMP_NUM_THREADS = 1
export MLFLOW_DISABLE_TELEMETRY = true

.PHONY: demo test lint install oldest clean

demo: install
	$(BIN)/bequest search digits-knn --trials 20 --workers 2

test: install
	$(BIN)/python -m pytest -n 2

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m tests.typecheck

install: $(VENV)/.installed

# torch comes first: left to another package's wish, pip would take the newest build there is.
$(VENV)/.installed: setup.cfg pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Bequest needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) torch
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[test]'
	touch $@

# The suite against the oldest versions that setup.cfg allows (torch: the one version there is).
oldest:
	$(MAKE) test VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt

clean:
	rm -rf .venv .venv-oldest build *.egg-info
