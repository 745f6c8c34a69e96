# What there is to do with a checkout. `make` alone lists it; each target works on a fresh clone.
#
# Everything is installed into .venv from the hash-checked lists in requirements/. The files .venv/.stamp-* remember
# what is installed, so nothing is installed twice.

PYTHON ?= python3
UV ?= uv
# One more than two cores: a good quarter of the tests' time is spent waiting for servers, databases and pages.
PYTEST_WORKERS ?= 3
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
INSTALL_KEYSTEAD := $(PIP) install --no-deps --no-build-isolation --editable .

# A virtual environment whose interpreter has gone (an upgraded system, a moved folder) is made anew.
VENV_RUNS := $(shell $(BIN)/python -c "print('yes')" 2>/dev/null)
# The tests run a Go program. Go before 1.21 cannot read its module file.
GO_RUNS := $(shell go version 2>/dev/null | grep -E "go1\.(2[1-9]|[3-9][0-9])" 2>/dev/null)

# Prints the first Python that is new enough and has the venv module. A PYTHON given by hand is the only one tried.
PYTHON_IS_NEW := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON_CHOICES := $(PYTHON) $(if $(filter file,$(origin PYTHON)),python3.13 python3.12 python3.11)
define CHOOSE_PYTHON
chosen=; without_venv=; \
for candidate in $(PYTHON_CHOICES); do \
	"$$candidate" -c "$(PYTHON_IS_NEW)" >/dev/null 2>&1 || continue; \
	if "$$candidate" -c "import venv, ensurepip" >/dev/null 2>&1; then chosen="$$candidate"; break; fi; \
	without_venv="$${without_venv:-$$candidate}"; \
done; \
if [ -z "$$chosen" ] && [ -n "$$without_venv" ]; then \
	echo "$$without_venv is here, but its venv module is not. On Debian or Ubuntu: apt-get install python3-venv" >&2; \
	exit 1; \
elif [ -z "$$chosen" ]; then \
	echo "Keystead needs Python 3.11 or newer, and none was found (tried: $(strip $(PYTHON_CHOICES)))." >&2; \
	echo "Install one (Debian 12 or newer: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3.13" >&2; \
	exit 1; \
fi
endef

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help setup setup-server demo serve test test-postgres bench screenshots lint format lock clean which-python FORCE

help:  ## List what there is to do
	@echo "Keystead: make TARGET"
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)$$/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-15s %s\n", $$1, $$2}'

demo: $(VENV)/.stamp-server  ## Watch a device sign-in happen, step by step, on a server of its own
	@$(BIN)/python -m keystead.operate.demo

serve: $(VENV)/.stamp-server  ## Run the server for development, with its data in .data
	@$(BIN)/keystead serve --dev --data .data

test: $(VENV)/.stamp-dev $(if $(GO_RUNS),,$(VENV)/.stamp-go)  ## Run the tests (PYTEST_ARGS="-k word" to choose, PYTEST_WORKERS=0 for one process)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile $(PYTEST_ARGS)

# What a service does over a database, and what bad input does to it, must be the same over either engine.
ON_POSTGRES := tests/oauth tests/keys tests/accounts tests/factors tests/organizations tests/sessions tests/tokens tests/balance tests/audit tests/secrets tests/gate/test_bad_input.py

test-postgres: $(VENV)/.stamp-dev  ## Run the tests of the services and of bad input once more, over PostgreSQL
	@TEST_ENGINE=postgres $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile $(PYTEST_ARGS) $(ON_POSTGRES)

bench: $(VENV)/.stamp-dev  ## Measure everything, write bench/RESULTS.md (25 minutes; QUICK=1 is short and writes nothing)
	@$(BIN)/python bench/results.py $(if $(QUICK),--quick)

screenshots: $(VENV)/.stamp-dev  ## Take the pictures in docs/images/ anew, with Chromium
	@$(BIN)/python -m tests.browser.screenshots

lint: $(VENV)/.stamp-dev  ## Check style, types and which room may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.stamp-dev  ## Put the code into its standard form
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

setup: $(VENV)/.stamp-dev  ## Install all that developing needs into .venv
	@echo "Ready. make test runs the tests, make serve the server."

setup-server: $(VENV)/.stamp-server  ## Install only what the server needs into .venv
	@echo "Ready. make serve runs the server."

lock:  ## Make requirements/*.lock again from pyproject.toml (needs uv; UPGRADE=1 for newer versions)
	@command -v $(UV) >/dev/null 2>&1 || { echo "make lock needs uv: pip install uv, or name it: make lock UV=/path/to/uv" >&2; exit 1; }
	$(COMPILE) --extra dev pyproject.toml requirements/build.in --output-file requirements/dev.lock
	$(COMPILE) --extra server --constraints requirements/dev.lock pyproject.toml requirements/build.in --output-file requirements/server.lock
	$(COMPILE) requirements/go.in --output-file requirements/go.lock

clean:  ## Remove .venv, caches, built packages and the demo's data (.data stays)
	rm -rf $(VENV) build dist .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

# Says which Python would be used, or what is missing; .ci/run asks this before it installs anything.
which-python:
	@$(CHOOSE_PYTHON); echo "$$chosen"

$(VENV)/.stamp-venv: $(if $(VENV_RUNS),,FORCE)
	@$(CHOOSE_PYTHON); echo "Making .venv with $$("$$chosen" --version)"; \
	"$$chosen" -m venv $(if $(VENV_RUNS),,--clear) $(VENV)
	@touch $@

$(VENV)/.stamp-server: $(VENV)/.stamp-venv requirements/server.lock pyproject.toml
	@echo "Installing the server's packages into .venv"
	@$(PIP) install --require-hashes -r requirements/server.lock
	@$(INSTALL_KEYSTEAD)
	@touch $@

# The development list holds the server's whole list in the same versions, so it counts as both.
$(VENV)/.stamp-dev: $(VENV)/.stamp-venv requirements/dev.lock requirements/server.lock pyproject.toml
	@echo "Installing the development packages into .venv"
	@$(PIP) install --require-hashes -r requirements/dev.lock
	@$(INSTALL_KEYSTEAD)
	@touch $(VENV)/.stamp-server $@

$(VENV)/.stamp-go: $(VENV)/.stamp-venv requirements/go.lock
	@echo "Installing a Go toolchain into .venv (75 MB), because this machine has none that is new enough"
	@$(PIP) install --require-hashes -r requirements/go.lock
	@touch $@

FORCE:
