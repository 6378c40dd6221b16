# Everything that a person or the CI types. `make` alone lists it.
# The virtual environment is .venv; what is in it is pinned with hashes in docker/requirements.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
DOCKER ?= docker
BASE_IMAGE ?=
VENV := .venv
BIN := $(VENV)/bin
CONTAINERS := .venv-containers
SDKS := .venv-sdk2 .venv-sdk3
REQUIREMENTS := docker/requirements
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# The lock files hold the hashes of wheels for Linux x86-64 and Python 3.11. Elsewhere pip resolves
# the same pins without them.
ifeq ($(shell uname -sm) $(shell $(PYTHON) -c 'import sys; print(*sys.version_info[:2])'),Linux x86_64 3 11)
  SUFFIX := lock
  FROM_FILE := --no-deps --require-hashes -r
else
  SUFFIX := in
  FROM_FILE := -r
endif

.PHONY: help setup demo test lint docs lock images test-containers bench-serve bench-train bench-debugger sbom audit

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

setup: $(VENV)/.run-installed ## make .venv with all that training and serving need

demo: $(VENV)/.run-installed ## train on handwritten digits, serve them, ask: one or two minutes
	$(BIN)/kennel demo

test: lint ## ruff, mypy and every test that needs no GPU, Docker or AWS
	$(BIN)/python -m pytest -m "not gpu and not container" -n 2 --dist loadfile

lint: $(VENV)/.dev-installed ## ruff, ruff format and mypy alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.run-installed ## write the generated pages of docs/ again
	$(BIN)/python -m control.reference
	$(BIN)/python -m serve.openapi

lock: ## write docker/requirements/*.lock again from *.in; needs a package index
	$(PYTHON) $(REQUIREMENTS)/lock.py

images: ## build kennel-train, kennel-serve and kennel-serve-cpu; BASE_IMAGE=... picks the base
	for target in train serve serve-cpu; do \
	  $(DOCKER) build -f docker/Dockerfile --target $$target \
	    $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) -t kennel-$$target . ; \
	done

test-containers: $(VENV)/.dev-installed $(addsuffix /.installed,$(CONTAINERS) $(SDKS)) ## the tests that need a Docker engine
	PATH="$(CURDIR)/$(CONTAINERS)/bin:$$PATH" BASE_IMAGE="$(BASE_IMAGE)" \
	  $(BIN)/python -m pytest -m container --durations=0 --durations-min=1

bench-serve: $(VENV)/.run-installed .venv-bench/.installed ## our server beside TorchServe and others; ten minutes, needs Java 17
	$(BIN)/python -m benchmarks.serve $(ARGS)

bench-train: $(VENV)/.run-installed ## our training beside the ordinary script; twenty minutes
	$(BIN)/python -m benchmarks.train $(ARGS)

bench-debugger: $(VENV)/.run-installed ## what saving tensors and measuring cost; ten minutes
	$(BIN)/python -m benchmarks.debugger
	$(BIN)/python -m benchmarks.profiler

sbom: ## write what is in each image to build/sbom, as CycloneDX JSON
	mkdir -p build/sbom
	for target in train serve serve-cpu; do \
	  $(DOCKER) run --rm --interactive --network none --env TITLE=kennel-$$target kennel-$$target \
	    python - <docker/sbom.py >build/sbom/kennel-$$target.cdx.json ; \
	done

audit: $(CONTAINERS)/.installed ## look the images' packages up among known vulnerabilities
	for target in train serve serve-cpu; do \
	  $(CONTAINERS)/bin/pip-audit --strict --progress-spinner off --disable-pip --require-hashes \
	    --requirement $(REQUIREMENTS)/$$target.lock ; \
	done

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "python3.11 or newer is needed" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is too old: 3.11 or newer is needed; make PYTHON=... picks another" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

# A stamp is newer than its requirements once they are installed. The dev stamp comes after the
# run stamp, so that `make -j` never runs two pips at once.
$(VENV)/.run-installed: $(REQUIREMENTS)/run.$(SUFFIX) pyproject.toml | $(VENV)/bin/python
	$(PIP) $(FROM_FILE) $(REQUIREMENTS)/run.$(SUFFIX)
	$(PIP) --no-deps --editable .
	@touch $@

$(VENV)/.dev-installed: $(REQUIREMENTS)/dev.$(SUFFIX) $(VENV)/.run-installed
	$(PIP) $(FROM_FILE) $(REQUIREMENTS)/dev.$(SUFFIX)
	@touch $@

# The clients of the container tests, each apart from our own packages and from one another: their
# pins would clash. Compiling all of them would take longer than what the tests import ever saves.
.venv-%/.installed: $(REQUIREMENTS)/%.$(SUFFIX) | $(VENV)/bin/python
	"$(PYTHON)" -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
	  $(FROM_FILE) $(REQUIREMENTS)/$*.$(SUFFIX)
	@touch $@
