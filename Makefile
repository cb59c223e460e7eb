# Every target sets itself up from nothing: Python 3.11 to 3.13 and make are all it takes.
# `make help` lists the targets. Nothing is installed outside this folder.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

VENV    := .venv
BIN     := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --constraint constraints.txt
OUT     ?= out/demo
TESTS   ?= tests
FUZZ_SECONDS ?= 300
SOAK_MINUTES ?= 60
# Recordings of real systems that are not part of the project; what needs them says so and is skipped where they are missing.
RECORDINGS ?= ../shared/data
ifneq ($(wildcard $(RECORDINGS)),)
export TRACEGUARD_SHARED_DATA ?= $(abspath $(RECORDINGS))
endif
# A second DuckDB for the store's tests; it borrows every other package from $(VENV).
DUCKDB15 := .cache/duckdb15
# Real clients for the tests: JavaScript's exporters, and OpenFeature's hooks for Python as they were and as they are.
NODE        := .cache/node
OPENFEATURE := .cache/openfeature

# The first Python that is new enough, not too new, and able to make an environment.
FIND_PYTHON = for p in "$$PYTHON" python3 python3.13 python3.12 python3.11; do \
	[ -n "$$p" ] && "$$p" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& { echo "$$p"; exit 0; }; done; \
	echo "No Python 3.11, 3.12 or 3.13 with its venv module was found; install one (on Debian: apt-get install python3-venv) or name it: make PYTHON=/path/to/python3" >&2; exit 1

.PHONY: help demo test check format format-check lint types imports test-duckdb15 bench bench-whatif accuracy fuzz soak
.PHONY: sample-data notebooks schemas pictures readme clean

help: ## show this list
	@grep -hE '^[a-z0-9%-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([^:]+):.*## /\1|/' | while IFS='|' read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

$(BIN)/python:
	@python=$$($(FIND_PYTHON)) && echo "Setting up $(VENV) with $$python" >&2 && "$$python" -m venv $(VENV)

# What running needs.
$(VENV)/.runs: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing traceguard" >&2
	@$(INSTALL) --editable .
	@touch $@

# What working on it needs, too.
$(VENV)/.develops: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing traceguard and its tools" >&2
	@$(INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/.runs

demo: $(VENV)/.runs ## run the simulated shop, find what was planted, write the HTML report
	@$(BIN)/traceguard demo -o $(OUT)

# Without npm or a network these leave nothing, and the tests that need them are skipped with a reason.
$(NODE)/.stands: tests/functional/node/package.json
	@mkdir -p $(NODE)
	@cp $< $(NODE)/
	@if command -v npm >/dev/null; then echo "Installing JavaScript's exporters for the tests" >&2; \
		npm install --prefix $(NODE) --no-package-lock --ignore-scripts --no-audit --no-fund --silent \
			--fetch-retries 1 --fetch-retry-mintimeout 1000 --fetch-retry-maxtimeout 2000 \
		&& touch $@ || { rm -rf $(NODE)/node_modules; echo "They could not be installed, so their tests are skipped" >&2; }; fi

$(OPENFEATURE)-0.2/.stands: HOOKS := 0.2.0
$(OPENFEATURE)-0.3/.stands: HOOKS := 0.3.1
$(OPENFEATURE)-%/.stands: | $(VENV)/.develops
	@echo "Installing OpenFeature's hooks $(HOOKS) for the tests" >&2
	@rm -rf $(@D)
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --retries 1 --no-deps --target $(@D) \
		'openfeature-hooks-opentelemetry==$(HOOKS)' 'openfeature-sdk==0.10.0' \
		&& touch $@ || { rm -rf $(@D); echo "They could not be installed, so their tests are skipped" >&2; }

test: $(VENV)/.develops $(NODE)/.stands $(OPENFEATURE)-0.2/.stands $(OPENFEATURE)-0.3/.stands ## run every test (TESTS=path for some)
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(TESTS)

check: format-check lint types imports test test-duckdb15 accuracy ## everything that runs before a change lands

format: $(VENV)/.develops ## format the code and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

format-check: $(VENV)/.develops
	@$(BIN)/ruff format --check .

lint: $(VENV)/.develops
	@$(BIN)/ruff check .

types: $(VENV)/.develops
	@$(BIN)/mypy

imports: $(VENV)/.develops
	@$(BIN)/lint-imports --no-logo --cache-dir .cache/import_linter

# The environment of $(VENV) with DuckDB 1.5 in front of it.
$(DUCKDB15)/.stands: $(VENV)/.develops
	@echo "Installing DuckDB 1.5 beside it" >&2
	@$(BIN)/python -m venv --clear --without-pip $(DUCKDB15)
	@$(BIN)/python -c 'import pathlib, site, sysconfig; \
		here = sysconfig.get_path("purelib"); \
		there = next(pathlib.Path("$(DUCKDB15)").glob("lib/python*/site-packages")); \
		(there / "borrowed.pth").write_text(f"import site; site.addsitedir({here!r})\n")'
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --only-binary :all: \
		--target "$$(echo $(DUCKDB15)/lib/python*/site-packages)" 'duckdb==1.5.6'
	@touch $@

test-duckdb15: $(DUCKDB15)/.stands ## run the store's tests on DuckDB 1.5
	@TRACEGUARD_EXPECT_DUCKDB=1.5 TRACEGUARD_OTHER_PYTHON=$(BIN)/python $(DUCKDB15)/bin/python -m pytest tests/unit/store tests/functional/test_two_duckdbs.py

bench: $(VENV)/.develops ## run every benchmark (bench-NAME for one of benchmarks/)
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" $(RECORDINGS); done

bench-%: $(VENV)/.develops
	@$(BIN)/python benchmarks/$*.py $(RECORDINGS)

bench-whatif: bench-what_if ## ask what-if on one and on five million spans; fails where a scenario on a million takes over 3 s

accuracy: $(VENV)/.develops ## hold the report to planted causes with few seeds; fails where a goal is missed (bench-accuracy: all)
	@$(BIN)/python benchmarks/accuracy.py --quick

fuzz: $(VENV)/.develops ## look for inputs that the decoder takes wrongly (FUZZ_SECONDS=300)
	@PYTHONPATH=tests $(BIN)/python -m fuzz --seconds $(FUZZ_SECONDS)

soak: $(VENV)/.develops ## kill, starve and restart a server under load, and count (SOAK_MINUTES=60)
	@$(BIN)/python benchmarks/soak.py --minutes $(SOAK_MINUTES)

sample-data: $(VENV)/.runs ## remake sample_data/ (the same bytes every time)
	@$(BIN)/python -m traceguard.simulate sample sample_data

notebooks: $(VENV)/.develops ## run the notebooks and keep what they show
	@$(BIN)/python tools/notebooks.py --write

schemas: $(VENV)/.runs ## write the documents' JSON Schemas to docs/schema/ as they are now
	@$(BIN)/python tools/schemas.py

pictures: $(VENV)/.runs ## take the README's pictures of the report and of the live page (needs Chromium)
	@$(BIN)/python tools/pictures.py

readme: $(VENV)/.runs ## show the demo in README.md as it looks now
	@$(BIN)/traceguard demo -o out/demo | $(BIN)/python tools/readme.py

clean: ## remove everything that these targets made
	rm -rf $(VENV) .cache out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
