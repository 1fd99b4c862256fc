# Needs Python 3.11 or later and make, nothing else. PYTHON and VENV may be set: make demo PYTHON=python3.12
PYTHON ?= python3.11
VENV ?= .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
INSTALLED := $(VENV)/installed
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: demo study test lint fuzz clean

demo: $(INSTALLED)
	$(BIN)/her2qp demo --out demo

study: $(INSTALLED)
	$(BIN)/python examples/study.py --out examples/study --work study-runs

test: $(INSTALLED)-dev
	$(BIN)/python -m pytest -n 2

fuzz: $(INSTALLED)-dev
	PYTHONPATH=tests $(BIN)/python -m fuzz --long

lint: $(INSTALLED)-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -e .[fast]
	$(BIN)/python -c "import pathlib; pathlib.Path('$@').touch()"

$(INSTALLED)-dev: $(INSTALLED)
	$(PIP) install -c constraints.txt -e .[fast,dev]
	$(BIN)/python -c "import pathlib; pathlib.Path('$@').touch()"

clean:
	$(PYTHON) -c "import shutil; [shutil.rmtree(d, ignore_errors=True) for d in ('$(VENV)', 'demo', 'study-runs')]"
