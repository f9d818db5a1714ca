# make run    sets up once and starts the editor:  PORT=8188, ARGS="--no-open" …
# make test   sets up once and runs every check:   TESTS="tests/graph -k cycle"

PYTHON ?= python3
PORT ?= 8188
ARGS ?=
TESTS ?=
# A process per core, a file of tests in one of them; each computes on one core, as two would only wait for each other.
PYTEST ?= -n auto --dist loadfile
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check format clean

run: $(VENV)/.runtime
	$(BIN)/python main.py serve --port $(PORT) --open $(ARGS)

test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST) $(TESTS)

check: $(VENV)/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis

# The stamps are newer than the lists of packages, so a second run installs nothing.
$(VENV)/.runtime: requirements.txt | $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.tests: tests/requirements.txt $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

$(VENV):
	$(PYTHON) -c 'import sys; sys.exit("Latent Loom needs Python 3.11 or newer; set PYTHON=…" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV) || { echo "The venv module is missing; on Debian: apt install python3-venv"; rm -rf $(VENV); exit 1; }
