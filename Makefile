# make help lists the targets. Every target sets up what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
MODELS := $(or $(LOCALASSIST_MODELS),models)
DEFAULT := $(MODELS)/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf
SMALL := $(MODELS)/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf $(MODELS)/smollm2-135m-instruct-q4_1.gguf
EMBEDDING := $(MODELS)/all-MiniLM-L6-v2/model-int8.onnx
SDKS := $(VENV)/sdk/1.2.3/.installed $(VENV)/sdk/1.20.0/.installed
SDK_NEEDS := 'httpx<0.28' httpcore h11 distro tqdm sniffio certifi idna
FETCH = $(BIN)/localassist models fetch
BUNDLE ?= dist/localassist-bundle
# For llama.cpp, which pip compiles.
COMPILING = CXXFLAGS='$(CXXFLAGS) -include "$(CURDIR)/.build/before_llama.h"'

.DEFAULT_GOAL := help
.PHONY: help install models demo test unit fmt lint types arch bench bundle clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-8s %s\n", $$1, $$2}'

$(INSTALLED): pyproject.toml .ci/constraints.txt .build/even_split.py .build/before_llama.h .build/check_llama.py localassist/engine/even_split.c
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; say make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(COMPILING) $(BIN)/python -m pip install --disable-pip-version-check -c .ci/constraints.txt -e '.[dev]'
	$(BIN)/python .build/check_llama.py || { \
		$(BIN)/python -m pip cache remove llama_cpp_python; \
		$(COMPILING) $(BIN)/python -m pip install --disable-pip-version-check -c .ci/constraints.txt \
			--force-reinstall --no-deps llama-cpp-python; \
		$(BIN)/python .build/check_llama.py || echo "llama.cpp stays as it is."; }
	touch $@

$(DEFAULT): | $(INSTALLED)
	$(FETCH) qwen2.5-coder-1.5b-instruct

$(MODELS)/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf: | $(INSTALLED)
	$(FETCH) qwen2.5-coder-0.5b-instruct

$(MODELS)/smollm2-135m-instruct-q4_1.gguf: | $(INSTALLED)
	$(FETCH) smollm2-135m-instruct

install: $(INSTALLED) ## Make .venv and install everything into it

$(EMBEDDING): | $(INSTALLED)
	$(FETCH) all-MiniLM-L6-v2
	$(BIN)/localassist models optimize

models: $(INSTALLED) ## Fetch the weights of all listed models, and make what is made of them
	$(FETCH) --all
	$(BIN)/localassist models optimize

demo: $(INSTALLED) $(DEFAULT) $(EMBEDDING) ## Walk through the document's example on the default model
	$(BIN)/localassist demo

test: lint types arch unit ## All checks and all tests

# The openai SDK of other times, each in a folder of its own: they cannot be installed together.
$(VENV)/sdk/%/.installed: | $(INSTALLED)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --target $(@D) 'openai==$*' $(SDK_NEEDS)
	touch $@

unit: $(INSTALLED) $(DEFAULT) $(SMALL) $(EMBEDDING) $(SDKS) ## The tests alone
	$(BIN)/python -m pytest

fmt: $(INSTALLED) ## Format the code
	$(BIN)/ruff check --fix localassist tests benchmarks .build
	$(BIN)/ruff format localassist tests benchmarks .build

lint: $(INSTALLED) ## Style
	$(BIN)/ruff check localassist tests benchmarks .build
	$(BIN)/ruff format --check localassist tests benchmarks .build

types: $(INSTALLED) ## Types, strictly
	$(BIN)/mypy

arch: $(INSTALLED) ## The layer rule
	PYTHONPATH=. $(BIN)/lint-imports

bench: $(INSTALLED) $(SMALL) $(EMBEDDING) ## All benchmarks; takes some minutes
	for script in import_time api engine; do $(BIN)/python -m benchmarks.$$script || exit 1; done

bundle: models ## Everything for a machine without network, in dist/
	mkdir -p $(BUNDLE)/models
	$(COMPILING) $(BIN)/python -m pip wheel --disable-pip-version-check -c .ci/constraints.txt -w $(BUNDLE)/wheels .
	cp -R $(MODELS)/. $(BUNDLE)/models/

clean: ## Remove the environment and caches; weights stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
