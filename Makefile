# Every target sets itself up: a virtual environment in .venv, the CPU build of torch, the package.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where CPU builds of torch live; used when it can be reached, else torch comes from the default index.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PIP_INSTALL := python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PIP := $(BIN)/$(PIP_INSTALL)
# Asked only when something is installed.
TORCH_SOURCE = $$($(PYTHON) -c "import urllib.request as r; r.urlopen('$(TORCH_INDEX)/torch/', timeout=5); print('--extra-index-url $(TORCH_INDEX)')" 2>/dev/null)
OUTPUT ?= demo_output
PHOTO ?= spaces/david/examples/astronaut.jpg

# Tests that need nothing but the development environment.
ANYWHERE := not gpu and not network and not blender and not package and not full_size

.PHONY: install format lint types test test-all test-synthetic test-transformers \
	test-package test-full-size demo cards

demo: $(VENV)/.base
	$(BIN)/david predict $(PHOTO) --output $(OUTPUT)

install: $(VENV)/.dev

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/codespell src training benchmarks spaces tests docs model_cards README.md CHANGELOG.md CONTRIBUTING.md

types: $(VENV)/.dev
	$(BIN)/mypy

# The model cards, from their templates and data files; a test fails if one is stale.
cards: $(VENV)/.dev
	$(BIN)/python model_cards/generate.py

test: $(VENV)/.dev
	$(BIN)/pytest -m "not slow and $(ANYWHERE)" --numprocesses 2

test-all: $(VENV)/.dev
	$(BIN)/pytest -m "$(ANYWHERE)"

# Blender as a Python package wants an older numpy: it gets an environment of its own.
test-synthetic: $(VENV)/.dev $(VENV)-blender/.installed
	$(PIP) --editable '.[dev,synthetic,ray]'
	DAVID_BLENDER=$(VENV)-blender/bin/python $(BIN)/pytest -m blender
	$(BIN)/pytest tests/unit/synthetic/test_ray.py

# The wheel and the source distribution, built, installed into a new environment and used there.
test-package: $(VENV)/.dev
	$(BIN)/pytest -m package

# Networks of the published sizes to ONNX and back: 14 GB of memory, ten minutes.
test-full-size: $(VENV)/.dev
	$(BIN)/pytest -m full_size

# The oldest transformers that is supported, and the newest: our contract, and transformers' own
# tests of models and image processors, which are in its source distribution.
test-transformers: $(VENV)-oldest/.transformers $(VENV)-newest/.transformers
	$(foreach which,oldest newest,$(call TEST_TRANSFORMERS,$(VENV)-$(which)))

define TEST_TRANSFORMERS
$(1)/bin/python tests/upstream/fetch.py $(1)/transformers-tests
$(1)/bin/pytest tests/contract tests/unit/model tests/unit/test_image_processing.py \
	-m "not slow and $(ANYWHERE)" --numprocesses 2
TRANSFORMERS_TESTS=$(1)/transformers-tests $(1)/bin/pytest tests/upstream --numprocesses 2 \
	--override-ini addopts=--quiet --override-ini filterwarnings=ignore

endef

$(VENV)-oldest/.transformers: TRANSFORMERS := transformers==5.21.1
$(VENV)-newest/.transformers: TRANSFORMERS := --upgrade transformers
$(VENV)-%/.transformers: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/$(PIP_INSTALL) torch $(TORCH_SOURCE)
	$(@D)/bin/$(PIP_INSTALL) --editable '.[dev]' parameterized $(TRANSFORMERS)
	@touch $@

$(VENV)-blender/.installed:
	$(PYTHON) -m venv $(VENV)-blender
	$(VENV)-blender/bin/python -m pip install --quiet --disable-pip-version-check bpy==5.0.1
	@touch $@

$(VENV)/.base: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, this is %s; make PYTHON=python3.11" % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch $(TORCH_SOURCE)
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	$(PIP) --editable '.[dev]'
	@touch $@
