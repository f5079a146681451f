# Every target sets up what it needs: Python 3.11 or newer and make are enough.
PYTHON ?= python3
BIN := .venv/bin
# Node checks the dashboard's JavaScript, where it is installed; nothing else needs it.
NPM := $(shell command -v npm)
JS := tests/browser/lint

.PHONY: install moved demo test test-all test-clients lint lint-js no-node format format-js bench sbom audit clean

install: .venv/.installed

# The scripts of an environment name the folder that it was made in: after a move it is made again.
MOVED := $(shell test ! -e .venv/bin/pip || grep -qsF '$(realpath .venv)/' .venv/bin/pip || echo --clear)

.venv/.installed: pyproject.toml constraints.txt $(if $(MOVED),moved)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "txnwatch needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(MOVED) .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

moved:
	@echo "This checkout was moved: its environment is made again."

demo: install
	$(BIN)/txnwatch demo $(ARGS)

# Each of the two has services of its own: more would take 2 GB each, and gain little, as a test waits for the most part.
# Whatever hangs, it ends: tests/support/time_limits.py.
test: install
	$(BIN)/pytest -m 'not slow' --timeout 180 --numprocesses 2 --max-worker-restart 2 --dist loadfile $(ARGS)

test-all: install
	$(BIN)/pytest $(ARGS)

test-clients: install
	$(BIN)/pytest -m clients $(ARGS) tests/clients

lint: install $(if $(NPM),lint-js,no-node)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lint-js format-js: %-js: $(JS)/node_modules/.installed
	npm run --silent --prefix $(JS) $*

$(JS)/node_modules/.installed: $(JS)/package.json
	npm install --silent --prefix $(JS) --no-package-lock --no-audit --no-fund --ignore-scripts
	@touch $@

no-node:
	@echo "The dashboard's JavaScript is not checked: npm is not installed."

format: install $(if $(NPM),format-js,no-node)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	$(BIN)/python -m benchmarks $(ARGS)

# What the image has, and nothing else: docs/security.md.
sbom: build/image/.installed build/supply-chain/.installed
	build/supply-chain/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--output-file build/sbom.cdx.json build/image

# Needs the network: it asks a service for what is known of each version.
audit: build/supply-chain/.installed
	build/supply-chain/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

EXTRAS := $(shell sed -n 's/^ARG EXTRAS=//p' infra/docker/Dockerfile)

build/image/.installed: pyproject.toml constraints.txt infra/docker/Dockerfile
	$(PYTHON) -m venv --clear --without-pip build/image
	$(PYTHON) -m pip --python build/image/bin/python install --quiet --constraint constraints.txt '.[$(EXTRAS)]'
	$(PYTHON) -m pip --python build/image/bin/python uninstall --quiet --yes setuptools
	@touch $@

build/supply-chain/.installed: infra/docker/supply-chain.txt
	$(PYTHON) -m venv --clear build/supply-chain
	build/supply-chain/bin/pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --requirement infra/docker/supply-chain.txt
	@touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis $(JS)/node_modules
