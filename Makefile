# The same commands for people and for CI. `make help` lists them.
PYTHON ?= python3
VENV := .venv
VENV_RUNTIME := .venv-runtime
BIN := $(VENV)/bin
ARGS ?=
CURVE_ARGS ?= $(ARGS)
QUICK ?=
DATA ?=
MINUTES ?= 10

NATIVE := CMakeLists.txt $(wildcard CMakePresets.json) $(shell find native -type f -not -path '*/tests/*' -not -path '*/fuzz/*')
INPUTS := pyproject.toml constraints.txt tools/install.sh tools/encoder.txt src/limbeck/__init__.py $(NATIVE)

.DEFAULT_GOAL := help
.PHONY: help demo test test-runtime check check-native fuzz fuzz-planted bench soak peers bench-engine bench-serve bench-accuracy tables docs wheel clean system

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

system:
	@tools/check-system.sh $(PYTHON)

# One stamp a set of extras; a folder's stamp holds for smaller sets too (tools/install.sh knows).
$(VENV)/.stamp-demo: $(INPUTS) | system
	tools/install.sh $(PYTHON) $(VENV) demo,serve
	@touch $@

$(VENV)/.stamp-dev: $(INPUTS) | system
	tools/install.sh $(PYTHON) $(VENV) forge,demo,serve,tracing,bench,dev
	@touch $@ $(VENV)/.stamp-demo

$(VENV_RUNTIME)/.stamp: $(INPUTS) | system
	tools/install.sh $(PYTHON) $(VENV_RUNTIME) serve pytest pytest-xdist hypothesis
	@touch $@

demo: $(VENV)/.stamp-demo ## fine-tune, distil, quantise, verify and compare; DATA=FILE takes your own texts, QUICK=1 a tiny run
	$(BIN)/limbeck demo $(if $(QUICK),--quick) $(if $(DATA),--data $(DATA)) $(ARGS)

test: $(VENV)/.stamp-dev ## run all tests, as many side by side as there are cores; ARGS="-k name" picks some
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

test-runtime: $(VENV_RUNTIME)/.stamp ## run the tests of the runtime wing in an environment without torch
	@! $(VENV_RUNTIME)/bin/python -c 'import torch' 2>/dev/null || { echo "torch is in $(VENV_RUNTIME); make clean"; exit 1; }
	$(VENV_RUNTIME)/bin/python -m pytest -n auto --dist loadfile -m "not torch" $(ARGS)

check: $(VENV)/.stamp-dev ## format, lint, types, floors, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	find native -name '*.cc' -o -name '*.h' | xargs $(BIN)/clang-format --dry-run -Werror
	$(BIN)/lint-imports
	$(BIN)/python tools/generate_tensor_table.py --check
	$(BIN)/python tools/docs.py --check

check-native: $(VENV)/.stamp-dev ## native tests for each instruction set, plain and under AddressSanitizer and UndefinedBehaviorSanitizer
	@for preset in release asan; do ( \
	  export PATH="$(CURDIR)/$(BIN):$$PATH"; set -ex; \
	  cmake --preset $$preset; cmake --build --preset $$preset; ctest --preset $$preset \
	) || exit 1; done

fuzz: $(VENV)/.stamp-dev ## look for crashes in the engine with libFuzzer for ten minutes; MINUTES=1 for one, ARGS for its own options
	@PATH="$(CURDIR)/$(BIN):$$PATH" tools/fuzz.sh fuzz $(MINUTES) $(ARGS)

fuzz-planted: $(VENV)/.stamp-dev ## plant a bug and see that the fuzzer finds it
	@PATH="$(CURDIR)/$(BIN):$$PATH" tools/fuzz.sh fuzz-planted 2 $(ARGS)

bench: $(VENV)/.stamp-dev ## the engine against ONNX Runtime, start-up and memory; ARGS=--grid for the whole grid
	$(BIN)/python -m limbeck.bench.engine $(ARGS)
	$(BIN)/python -m limbeck.bench.startup
	$(MAKE) tables

peers: $(VENV)/.stamp-dev ## an environment for each peer of the benchmarks, in .peers; ARGS=NAME makes one
	$(BIN)/python tools/peers.py $(ARGS)

soak: $(VENV)/.stamp-dev ## a million mixed requests, simulated, and over HTTP to a server of its own, with the slope of its memory; ARGS="--requests N"
	LIMBECK_SOAK=1 $(BIN)/python -m pytest -q tests/serve/scheduler/test_simulate.py -k leave_nothing_behind
	$(BIN)/python -m limbeck.bench.soak $(ARGS)

bench-engine: $(VENV)/.stamp-dev ## the engine against the peers that are there; ARGS="--quick", "--run last", "--texts FILE"
	$(BIN)/python -m limbeck.bench.peers $(ARGS)

bench-serve: $(VENV)/.stamp-dev ## the server against the peers' servers that are there; ARGS="--quick", "--only limbeck,litserve", "--run last", "--list"
	$(BIN)/python -m limbeck.bench.serving $(ARGS)

bench-accuracy: $(VENV)/.stamp-dev ## what distillation, pruning and int8 keep, on the data sets in DATA=DIR; hours; QUICK=1, ARGS="--only sst2", "--jobs 2", "--list"; CURVE_ARGS: of the second part, else the same
	$(BIN)/python -m limbeck.bench.distillation $(if $(QUICK),--quick) $(if $(DATA),--data $(DATA)) $(ARGS)
	$(BIN)/python -m limbeck.bench.curve $(if $(QUICK),--quick) $(if $(DATA),--data $(DATA)) $(CURVE_ARGS)

tables: $(VENV)/.stamp-dev ## write README's tables from benchmarks/results
	$(BIN)/python -m limbeck.bench.tables README.md

docs: $(VENV)/.stamp-dev ## write the generated pages: format, command line, tables
	$(BIN)/python tools/docs.py

wheel: $(VENV)/.stamp-dev ## build a wheel into dist/ and try it in an environment of its own
	tools/wheel.sh $(BIN)/python

clean: ## remove environments, builds and caches; keeps demo/
	rm -rf $(VENV) $(VENV_RUNTIME) .peers build dist .limbeck .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
