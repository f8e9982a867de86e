# Needs make, git and Python 3.10 or newer with pip and venv; everything else goes into virtual environments here.
# Another Python: make test PYTHON=python3.13 VENV=.venv-3.13

PYTHON ?= python3
VENV ?= .venv
DEMO_VENV ?= .venv-demo
PREFECT_VENV ?= .venv-prefect
SOAKS ?=
# These want more than Python and git, and have targets of their own.
BESIDE := tests/prefect tests/web/test_browser.py
RACES := tests/soak/test_races.py tests/soak/test_writers.py

SOAK = $(VENV)/bin/python -m pytest -q -rP --durations=0 --durations-min=10
BESIDE_EACH_OTHER := -n 3 --maxschedchunk 1 $(RACES:%=--ignore=%) tests/soak

PACKAGE := $(shell find src docs/man docs/completion -type f ! -name '*.pyc')

.PHONY: help demo test test-browser test-prefect test-sha256 test-web lint bench soak soak-short clean

help:
	@echo "make demo   two versions, a rollback and a promotion in a scratch repository"
	@echo "make test   lint, types and all tests but those of the next two"
	@echo "make test-prefect  the tests that need a real Prefect server, in an environment of its own"
	@echo "make test-browser  the tests that need chromium"
	@echo "make test-sha256  what make test runs once more, in SHA-256 repositories"
	@echo "make test-web  the tests of the pages alone"
	@echo "make lint   lint and types alone"
	@echo "make bench  times beside their targets and peers; some of it: make bench PARTS=\"live list\""
	@echo "make soak   many writers at once, a long search for what goes wrong; some of it: make soak SOAKS=tests/soak"
	@echo "make soak-short  a small part of the same"
	@echo "make clean  remove virtual environments and caches"

demo: $(DEMO_VENV)/stamp
	@PATH="$(abspath $(DEMO_VENV))/bin:$$PATH" sh docs/demo.sh

test: lint
	$(VENV)/bin/python -m pytest -q -n auto --dist loadgroup $(BESIDE:%=--ignore=%)

test-prefect: $(VENV)/stamp $(PREFECT_VENV)/stamp
	GIT_DEPLOYMENTS_PREFECT=$(abspath $(PREFECT_VENV)) $(VENV)/bin/python -m pytest -q tests/prefect

test-sha256: $(VENV)/stamp
	GIT_DEPLOYMENTS_OBJECT_FORMAT=sha256 $(VENV)/bin/python -m pytest -q -n auto --dist loadgroup $(BESIDE:%=--ignore=%)

test-browser: $(VENV)/stamp
	GIT_DEPLOYMENTS_BROWSER=1 $(VENV)/bin/python -m pytest -q -n 2 tests/web/test_browser.py

test-web: $(VENV)/stamp
	$(VENV)/bin/python -m pytest -q -n auto tests/web

lint: $(VENV)/stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(VENV)/stamp
	$(VENV)/bin/python -m tests.benchmarks $(PARTS)

# What kills, refuses and damages does so side by side; the races want the machine for themselves.
soak: $(VENV)/stamp
ifneq ($(SOAKS),)
	GIT_DEPLOYMENTS_SOAK=1 $(SOAK) $(SOAKS)
else
	GIT_DEPLOYMENTS_SOAK=1 $(SOAK) $(BESIDE_EACH_OTHER) tests/test_sync_property.py
	GIT_DEPLOYMENTS_SOAK=1 $(SOAK) $(RACES)
endif

soak-short: $(VENV)/stamp
	GIT_DEPLOYMENTS_SOAK=short $(SOAK) $(BESIDE_EACH_OTHER)
	GIT_DEPLOYMENTS_SOAK=short $(SOAK) $(RACES)

clean:
	rm -rf .venv .venv-* build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The pip that comes with Python 3.10 to 3.13 knows no --group yet.
$(VENV)/stamp: pyproject.toml docs/man/git-deployments.1 $(wildcard docs/completion/*)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q --upgrade 'pip>=25.1'
	$(VENV)/bin/python -m pip install -q --editable . --group dev
	touch $@

# Prefect's own server and client, and this project beside them as its users have it.
$(PREFECT_VENV)/stamp: pyproject.toml
	$(PYTHON) -m venv $(PREFECT_VENV)
	$(PREFECT_VENV)/bin/python -m pip install -q --upgrade 'pip>=25.1'
	$(PREFECT_VENV)/bin/python -m pip install -q --editable '.[prefect,web]' --group prefect
	touch $@

# As users have it: the wheel, its script file, no development tools.
$(DEMO_VENV)/stamp: pyproject.toml README.md LICENSE $(PACKAGE)
	$(PYTHON) -m venv $(DEMO_VENV)
	$(DEMO_VENV)/bin/python -m pip install -q --disable-pip-version-check .
	touch $@
