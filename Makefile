# Every target sets itself up: a virtual environment in .venv, the CPU build of torch, the package.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where CPU builds of torch live; used when it can be reached, else torch comes from the default index.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
OUTPUT ?= demo_output
PHOTO ?= spaces/david/examples/astronaut.jpg

.PHONY: install format lint types test test-all test-synthetic demo

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

test: $(VENV)/.dev
	$(BIN)/pytest -m "not slow and not gpu and not network and not blender" --numprocesses 2

test-all: $(VENV)/.dev
	$(BIN)/pytest -m "not gpu and not network and not blender"

# Blender as a Python package wants an older numpy: it gets an environment of its own.
test-synthetic: $(VENV)/.dev $(VENV)-blender/.installed
	$(PIP) --editable '.[dev,synthetic]'
	DAVID_BLENDER=$(VENV)-blender/bin/python $(BIN)/pytest -m blender

$(VENV)-blender/.installed:
	$(PYTHON) -m venv $(VENV)-blender
	$(VENV)-blender/bin/python -m pip install --quiet --disable-pip-version-check bpy==5.0.1
	@touch $@

$(VENV)/.base: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, this is %s; make PYTHON=python3.11" % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch $$($(PYTHON) -c "import urllib.request as r; r.urlopen('$(TORCH_INDEX)/torch/', timeout=5); print('--extra-index-url $(TORCH_INDEX)')" 2>/dev/null)
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	$(PIP) --editable '.[dev]'
	@touch $@
