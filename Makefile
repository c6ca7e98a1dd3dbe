# Two commands: `make demo` and `make test`. Both make .venv first; nothing else is needed than Python 3.11+.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Compiling every module of torch and transformers takes longer than installing them: only what a run imports is.
INSTALL := $(BIN)/pip install --quiet --quiet --no-compile --constraint constraints.txt
WARM := $(BIN)/python -c 'from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerFast'

.PHONY: demo test test-slow lint format wheel clean

demo: $(VENV)/.demo
	@$(BIN)/llem run examples/study_batch.yaml
	@$(BIN)/payment-sim experiment run examples/payments/experiment_castro1.yaml
	@$(BIN)/payment-sim experiment chart latest --db results/castro1.db --output results/castro1.png

# In two processes, each a file at a time, for tests of a file share what they look at; at the end the slowest are named.
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 20

# What takes minutes or rare rights, and every property again with five times the examples.
test-slow: $(VENV)/.slow
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'slow or hypothesis' --hypothesis-profile deep --durations 20

lint: $(VENV)/.dev
	$(BIN)/ruff check --no-cache
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix --no-cache
	$(BIN)/ruff format

# The wheel, built and tried where nothing of this checkout's sources can be seen: alone, then with what a server needs.
wheel: $(VENV)/.dev
	rm -rf dist build/wheel-venv
	$(BIN)/python -m build --wheel --outdir dist
	$(PYTHON) -m venv build/wheel-venv
	build/wheel-venv/bin/pip install --quiet --quiet --constraint constraints.txt dist/*.whl
	cd build && wheel-venv/bin/llem --version && wheel-venv/bin/llem doctor && wheel-venv/bin/llem config schema > /dev/null
	build/wheel-venv/bin/pip install --quiet --quiet --constraint constraints.txt "$$(echo dist/*.whl)[server]"
	cd build && wheel-venv/bin/python ../tests/measure_a_server.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "labledger needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[pytorch,sql,plot]'
	@$(WARM)
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[pytorch,dev]'
	@touch $@ $(VENV)/.demo

# llama.cpp is compiled, once: six minutes of a core. Where that fails, the tests that need it are skipped. What is built
# is slow and meant for tests, so it stays out of pip's cache.
LLAMA_CPP := -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DLLAVA_BUILD=OFF \
	-DCMAKE_C_FLAGS_RELEASE=-O1 -DCMAKE_CXX_FLAGS_RELEASE=-O1
$(VENV)/.slow: $(VENV)/.dev
	@echo "building llama.cpp's server, unless it is there: some minutes …"
	@CMAKE_ARGS="$(LLAMA_CPP)" $(INSTALL) --no-cache-dir --editable '.[pytorch,dev,test-slow]' && touch $@ \
		|| echo "llama.cpp's server was not built: its tests will be skipped" >&2
