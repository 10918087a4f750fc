# make demo    set up and show the main job on a small trained network
# make test    set up and run the tests
# make check   all that the gate runs

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check lint types docs clean

demo: $(BIN)/fullint
	$(BIN)/fullint demo

test: .venv/dev
	$(BIN)/python -m pytest -q

check: .venv/dev lint types docs test

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/dev
	$(BIN)/mypy

docs: .venv/dev
	$(BIN)/python tools/gen_docs.py --check

$(BIN)/fullint: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@touch $(BIN)/fullint

.venv/dev: pyproject.toml $(BIN)/fullint
	$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[dev]"
	@touch .venv/dev

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
