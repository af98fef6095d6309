# Every target works as the first command on a machine with Python 3.11+, make and git: it makes .venv from uv.lock by itself.

PYTHON ?= python3
UV_VERSION := 0.13.9
RUN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help demo lab test test-long check bench lock screenshots hooks clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12 …" >&2; exit 1; }
	@test -x $(RUN)/python || $(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "this Python has no venv module (Debian: apt install python3-venv)" >&2; exit 1; }
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@VIRTUAL_ENV=$(CURDIR)/.venv $(RUN)/uv sync --quiet --frozen --active --inexact
	@touch $@

demo: $(READY)  ## a sealed Vault and a half-applied migration are brought back, from nothing, in one go
	@$(RUN)/python -m lab.demo

lab: $(READY)  ## the same world, kept up to try things in; Ctrl-C ends it
	@$(RUN)/python -m lab up

test: $(READY)  ## all fast tests, about eight minutes
	@$(RUN)/python -m pytest -m "not long" -n 2 --dist loadfile

test-long: $(READY)  ## those that take longer, too
	@$(RUN)/python -m pytest -n 2 --dist loadfile

check: $(READY)  ## ruff, strict types, import directions, rules of the house
	@$(RUN)/ruff check --quiet .
	@$(RUN)/ruff format --quiet --check .
	@$(RUN)/mypy
	@mkdir -p build; $(RUN)/lint-imports > build/lint-imports.txt 2>&1 || { cat build/lint-imports.txt; exit 1; }
	@$(RUN)/python -m pytest tests/house

bench: $(READY)  ## medians and ratios against bare calls and the command line
	@$(RUN)/python -m lab.bench

screenshots: $(READY)  ## the pictures of the README, from the real UI
	@$(RUN)/python -m lab.screenshots

lock: $(READY)  ## resolve again after pyproject.toml was changed
	@$(RUN)/uv lock

hooks:  ## let git run `make check` before each commit
	@printf '#!/bin/sh\nexec make check\n' > .git/hooks/pre-commit && chmod +x .git/hooks/pre-commit

clean:  ## forget everything that was made here
	@rm -rf .venv build .mypy_cache .ruff_cache .hypothesis .import_linter_cache
