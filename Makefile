# The two commands: make quickstart, make test.

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
TORCH_VENV := .venv-openmm-torch
TORCH_TESTS := tests/openmm_torch tests/openmm_integration/test_python_and_torch_force.py
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: quickstart test test-openmm-torch test-lowest docs lint format clean
.DELETE_ON_ERROR:

quickstart: $(VENV)/installed
	$(BIN)/python examples/quickstart.py --out quickstart

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2

# openmm-torch needs a torch and an OpenMM of its own: 7 GB of disk, minutes to install
test-openmm-torch: $(TORCH_VENV)/installed
	$(TORCH_VENV)/bin/python -m pytest -q $(TORCH_TESTS)

$(TORCH_VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TORCH_VENV)
	grep -vi -e '^torch==' -e '^openmm==' constraints.txt > $(TORCH_VENV)/constraints.txt
	$(TORCH_VENV)/bin/python -m pip install --quiet --constraint $(TORCH_VENV)/constraints.txt \
		--editable .[openmm-torch] pytest hypothesis
	touch $@

# the lowest versions that pyproject.toml allows, of those that matter; by hand, before a release
test-lowest: .venv-lowest/installed
	.venv-lowest/bin/python -m pytest -q -W ignore tests/cgplugin/test_networks.py tests/cgplugin/test_training.py \
		tests/test_hostile_files.py tests/openmm_integration/test_older_models.py tests/openmm_integration/test_integrator.py

.venv-lowest/installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --constraint constraints-lowest.txt --editable . pytest hypothesis MDAnalysis ParmEd
	touch $@

# the documentation, in docs/_build/html; needs no network once installed
docs: $(VENV)/installed-docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -d docs/_build/doctrees docs docs/_build/html

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .[dev]
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .[docs]
	touch $@

clean:
	rm -rf $(VENV) $(TORCH_VENV) .venv-lowest quickstart build docs/_build *.egg-info
