# make demo             set up and show the main job on a small trained network
# make test             set up and run the core of the tests: a few minutes
# make check            all that the gate runs, but for the front ends: every test, lint, types, pages, site
# make fuzz MINUTES=60  damaged files through all commands; findings are kept in build/fuzz
# make site             the user guide and the API reference, as a web site in build/site
# make test-keras       the drop-in converter and Keras, environments from nothing
# make test-torch       the same for PyTorch
# make test-onnx        the same for ONNX (exported by PyTorch)
# make test-tflm        results for TensorFlow Lite Micro, on its own kernels
# make test-ethos-u     results for an Ethos-U, by Vela
# make bench            whole commands beside other quantizers; names what got slower than the table kept in benchmarks/
# make page             build the code of HTML pages (needs node); it is part of the repository
# make test-page        HTML pages in Chromium (apt install chromium)
# make test-openvino    results for Intel's NPU, by LiteRT's plugin and OpenVINO
# make test-qualcomm    results for Qualcomm's HTP, by LiteRT's plugin and QNN

PYTHON ?= python3
BIN := .venv/bin
KERAS_BIN := .venv-keras/bin
export FULLINT_ENVIRONMENTS ?= $(CURDIR)/.environments

.PHONY: bench demo test test-all check fuzz fuzz-reader lint types docs site test-keras test-keras-command test-keras-drop-in test-keras-scripts test-torch test-onnx test-torch-core test-onnx-core test-tflm test-ethos-u test-qualcomm test-openvino test-frontends page test-page clean

demo: $(BIN)/fullint
	$(BIN)/fullint demo

# tests that compare times run by themselves, after the others
test: .venv/dev
	FULLINT_CORPUS= $(BIN)/python -m pytest -q -n auto -m "not slow and not alone"
	FULLINT_CORPUS= $(BIN)/python -m pytest -q -m "alone and not slow"

check: .venv/dev lint types docs site test-all

MINUTES ?= 10
fuzz: .venv/dev
	cd tests && ../$(BIN)/python -m fuzzing.run --minutes $(MINUTES)

# the reader alone, by coverage
fuzz-reader: .venv/dev
	$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[fuzz]"
	cd tests && ../$(BIN)/python -m fuzzing.reader ../build/fuzz-reader -max_total_time=$$((60 * $(MINUTES)))

test-all: .venv/dev
	$(BIN)/python -m pytest -q -n auto -m "not alone"
	$(BIN)/python -m pytest -q -m alone

# the peers need FULLINT_CORPUS
PEERS ?= build/peers
bench: .venv/dev
	$(BIN)/python benchmarks/peers.py --envs $(PEERS) --check

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/dev
	$(BIN)/mypy

docs: .venv/dev
	$(BIN)/python tools/gen_docs.py --check

site: .venv/dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# TensorFlow beside fullint, as a user of the drop-in has it; and in fullint's own environment, as a user of the command has it
test-keras: test-keras-command test-keras-drop-in test-keras-scripts

test-keras-command: .venv/dev
	$(BIN)/fullint setup keras
	$(BIN)/python -m pytest -q -s frontend_tests/test_keras_command.py frontend_tests/test_keras_2.py

test-keras-drop-in: .venv/dev .venv-keras/dev
	$(KERAS_BIN)/python -m pytest -q -s -W default frontend_tests/test_keras.py

test-keras-scripts: .venv/dev .venv-keras/dev
	$(KERAS_BIN)/python -m pytest -q -s -W default frontend_tests/test_scripts.py frontend_tests/test_notebooks.py -k "not pytorch and not onnx"

test-torch: .venv/dev
	$(BIN)/fullint setup torch
	$(BIN)/python -m pytest -q -s -W default frontend_tests/test_torch.py frontend_tests/test_notebooks.py -k "test_torch or pytorch"

# the exporter of PyTorch needs onnx and onnxscript
test-onnx: .venv/dev
	$(BIN)/fullint setup torch
	$(BIN)/fullint setup onnx
	$$($(BIN)/fullint setup torch --json | $(BIN)/python -c "import json, sys; print(json.load(sys.stdin)['python'])") \
	    -m pip install -q --disable-pip-version-check onnx onnxscript
	$(BIN)/python -m pytest -q -s -W default frontend_tests/test_onnx.py frontend_tests/test_notebooks.py -k onnx

test-frontends: test-keras test-torch test-onnx

# what is most used of PyTorch and ONNX, beside Keras in the gate
test-torch-core: .venv/dev
	$(BIN)/fullint setup torch
	$(BIN)/python -m pytest -q -s -W default frontend_tests/test_torch.py -k "a_cnn or function or mobilenet"

test-onnx-core: .venv/dev
	$(BIN)/fullint setup onnx
	$(BIN)/python -m pytest -q -s -W default frontend_tests/test_onnx.py -k "not a_cnn and not encoder"

# targets by their own software
test-tflm: .venv/dev
	$(BIN)/python -m pytest -q tests/test_targets.py

test-qualcomm: .venv/dev
	$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[qualcomm]"
	$(BIN)/python -m pytest -q tests/test_targets.py -k "qualcomm or qnn"
	$(BIN)/python -m pytest -q tests/test_forms.py -k qualcomm

test-openvino: .venv/dev
	$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[openvino]"
	$(BIN)/python -m pytest -q tests/test_targets.py tests/test_forms.py -k openvino

test-ethos-u: .venv/dev
	$(BIN)/python -m pytest -q tests/test_partition.py tests/test_targets.py tests/test_forms.py -k "vela or ethos or Vela"

$(BIN)/fullint: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@touch $(BIN)/fullint

.venv/dev: pyproject.toml $(BIN)/fullint
	$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[dev]"
	@touch .venv/dev

.venv-keras/dev: pyproject.toml
	$(PYTHON) -m venv .venv-keras
	$(KERAS_BIN)/python -m pip install -q --disable-pip-version-check -e ".[keras,frontend-tests]"
	$(KERAS_BIN)/python -m pip install -q --disable-pip-version-check --no-deps tf_keras
	@touch .venv-keras/dev

clean:
	rm -rf .venv .venv-keras .environments build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# HTML pages
page:
	cd frontend && npm ci --silent && node build.mjs

test-page: .venv/dev
	$(BIN)/python -m pytest -q tests/test_page.py tests/test_page_in_chromium.py
