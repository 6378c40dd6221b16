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
REQUIREMENTS := docker/requirements
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# The lock files hold the hashes of Linux x86-64 wheels. Elsewhere pip resolves the same pins.
ifeq ($(shell uname -sm),Linux x86_64)
  SUFFIX := lock
  FROM_FILE := --no-deps --require-hashes -r
else
  SUFFIX := in
  FROM_FILE := -r
endif

.PHONY: help setup demo test lint docs images test-containers

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

setup: $(VENV)/.run-installed ## make .venv with all that training and serving need

demo: $(VENV)/.run-installed ## train on handwritten digits, serve them, ask: one or two minutes
	$(BIN)/kennel demo

test: lint ## ruff, mypy and every test that needs no GPU, Docker or AWS
	$(BIN)/python -m pytest -m "not gpu and not container"

lint: $(VENV)/.dev-installed ## ruff, ruff format and mypy alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.run-installed ## write the generated pages of docs/ again
	$(BIN)/python -m control.reference

images: ## build kennel-train, kennel-serve and kennel-serve-cpu; BASE_IMAGE=... picks the base
	for target in train serve serve-cpu; do \
	  $(DOCKER) build -f docker/Dockerfile --target $$target \
	    $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) -t kennel-$$target . ; \
	done

test-containers: $(VENV)/.dev-installed ## the tests that need a Docker engine
	$(BIN)/python -m pytest -m container

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
