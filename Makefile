# Every target installs what it needs into .venv and .cache of this checkout. A second run needs no network.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# no Python setting of the user has an effect here
export PYTHONNOUSERSITE := 1
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE VIRTUAL_ENV
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.PHONY: demo fast test suite check compiled unit test-compiled wheel-compiled dist-pure bench chaos chart clients rights frameworks upgrade matrix docs fuzz lock dist image image-test sbom clean help setup setup-demo

help:
	@echo "make demo   the crisis and its end on a real Kafka and a real PostgreSQL (about a minute)"
	@echo "make fast   for every change: the checks and the quick unit tests (under a minute)"
	@echo "make check  ruff, mypy, import-linter"
	@echo "make unit   the tests that need no server"
	@echo "make test   every check and every test, on a real Kafka and a real PostgreSQL"
	@echo "make bench  speed, freshness, replay and a worker's call, each compared with the way without jobstatus"
	@echo "make chaos  the long fault run (SECONDS=1800 SEED=1)"
	@echo "make clients  the example clients in Go, Java, Node and Rust, on a real Kafka; needs their tools"
	@echo "make chart  the Helm chart by helm and kube-score themselves, which are built where they are missing"
	@echo "make rights  every command without each of its rights, on a broker with ACLs"
	@echo "make frameworks  the job and web frameworks through every end of a worker, on real brokers"
	@echo "make upgrade  restarts, an upgrade and a rollback of three consumers under load, with the latest event printed"
	@echo "make test-compiled  the unit and contract tests and some others, on the compiled wheel"
	@echo "make matrix   the supported versions of Kafka and PostgreSQL, each on its own servers (about 15 minutes)"
	@echo "make lock   resolve the requirement files anew"
	@echo "make dist   both wheels and the sdist of this commit, in dist; the same commit gives the same bytes"
	@echo "make wheel-compiled  the compiled wheel alone, in dist; needs a C compiler"
	@echo "make image  the container image, with Docker, Podman or Buildah (PYTHON_IMAGE=NAME:TAG@sha256:... for a release)"
	@echo "make sbom   bills of materials (CycloneDX) of the wheel and the image, in dist"
	@echo "make image-test  builds the image with Buildah and runs it; needs root on Debian"
	@echo "make clean  remove what the other targets made"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "jobstatus needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python requirements/demo.txt pyproject.toml
	@echo "installing what the demo needs into $(VENV) ..."
	@$(PIP) install -q --require-hashes -r requirements/demo.txt
	@$(PIP) install -q --no-deps --no-index --no-build-isolation -e .
	@touch $@

# The file names every package that is needed, also for the demo, and most of their modules are never imported: pip
# takes half the time if it resolves and compiles nothing.
# arq allows no redis from 6 on, and Celery none before 6.1; arq works with both
$(VENV)/.dev: $(BIN)/python requirements/dev.txt requirements/arq.txt pyproject.toml
	@echo "installing what the checks and tests need into $(VENV) ..."
	@$(PIP) install -q --require-hashes --no-deps --no-compile -r requirements/dev.txt
	@$(PIP) install -q --require-hashes --no-deps --no-warn-conflicts -r requirements/arq.txt
	@$(PIP) install -q --no-deps --no-index --no-build-isolation -e .
	@touch $(VENV)/.demo $@

setup-demo: $(VENV)/.demo
setup: $(VENV)/.dev

# ARGS=--keep holds the servers up afterwards, with a console over them
demo: setup-demo
	@$(BIN)/jobstatus demo $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir .cache/import-linter

# the property tests (Hypothesis marks them) take most of the time of tests/unit, and `make unit` and `make test` run them
fast: check
	$(BIN)/python -m pytest tests/unit -m "not slow and not hypothesis" -n 2 -q

test: setup
	@$(MAKE) --no-print-directory -j2 check compiled
	@$(MAKE) --no-print-directory suite

# Eight processes, because most tests wait for sessions and time-outs; they share a broker, and each has a database.
# What fails beside the others has a second look alone, because eight processes on two cores make every wait long; both
# results stay in the output. A run that did not come to its end, such as one without a part, has none.
suite:
	@$(BIN)/python -m pytest -n 8 || { test $$? -eq 1 && echo "a second look at what failed, alone:" && \
	$(BIN)/python -m pytest --last-failed --last-failed-no-failures none; }

# Each test file and each module is compiled once, and the parts that tests need are fetched; without it each of the
# eight processes would compile them all. Then brokers start in half the time. Its errors are those of the tests, which
# come next.
compiled: setup
	@$(BIN)/python -m pytest --collect-only -qq > /dev/null 2>&1 || true
	@PYTHONPATH=tests $(BIN)/python -m support.shared_broker > /dev/null 2>&1 || true

unit: setup
	$(BIN)/python -m pytest tests/unit tests/contract -n 2

# ARGS="calls --quick" for one section and fewer events, ARGS=--long for the slow sections too; ARGS=scale takes half an hour
ARGS ?=
bench: setup
	$(BIN)/python -m tests.bench $(ARGS)

# faults of every kind on three brokers, a database and a proxy, and a recount; the same SEED and SECONDS repeat a run
SECONDS ?= 1800
SEED ?= 1
chaos: setup
	$(BIN)/python -m tests.chaos --seconds $(SECONDS) --seed $(SEED) $(ARGS)

# the first build of the client in Rust takes minutes
clients: setup
	$(BIN)/python -m pytest tests/integration/clients --long -n 0

# the first build of helm takes minutes
chart: setup
	$(BIN)/python -m pytest tests/contract/kubernetes tests/integration/kubernetes --long -n 0

# every command without each of its rights; `make test` has a sample
rights: setup
	$(BIN)/python -m pytest tests/integration/login/test_rights.py --long -n 0

# every end of a worker; `make test` has the usual ones
frameworks: setup
	$(BIN)/python -m pytest tests/integration/frameworks --long -n 0

# `make test` has one restart of three consumers; here the bounds of how late an event may be hold as they are, so let nothing else run
upgrade: setup
	JOBSTATUS_TESTS_STRICT_LATENESS=1 $(BIN)/python -m pytest tests/integration/upgrades --long -n 0 -s -p no:randomly

# a whole run writes what docs/reference/versions.md shows
matrix: setup
	$(BIN)/python -m pytest tests/integration/versions --long -n 0 -p no:randomly
	$(BIN)/python -m tests.support.generate_docs

# the pages that are made from the code; a test fails if they do not agree
docs: setup
	$(BIN)/python -m tests.support.generate_docs

# the decoder; GUIDED=600 needs atheris (pip install atheris): ten minutes by coverage, over fastavro's pure-Python reader
COUNT ?= 1000000
GUIDED ?= 0
fuzz: setup
	cd tests && ../$(BIN)/python -m fuzz --count $(COUNT) --guided $(GUIDED)

lock:
	$(PYTHON) -m venv .cache/lock && .cache/lock/bin/python -m pip install -q uv
	.cache/lock/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra dev pyproject.toml -o requirements/dev.txt
	.cache/lock/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra console --extra local -c requirements/dev.txt pyproject.toml requirements/build.in -o requirements/demo.txt
	.cache/lock/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra console --extra registry -c requirements/dev.txt pyproject.toml -o requirements/consumer.txt
	.cache/lock/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -c requirements/dev.txt requirements/build.in requirements/compile.in -o requirements/build.txt
	.cache/lock/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header requirements/chart.in -o requirements/chart.txt
	.cache/lock/bin/uv pip compile -q --universal --python-version 3.11 --no-deps --generate-hashes --no-emit-index-url --no-annotate --no-header requirements/arq.in -o requirements/arq.txt

# the time of the commit stands in every archive, so that a second build of it is the same to the byte
EPOCH = SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct)
SUMS = cd dist && sha256sum -- *.whl *.tar.gz > SHA256SUMS
dist: dist-pure wheel-compiled
	$(SUMS)

# the same without the compiled wheel; needs no compiler
dist-pure: setup-demo
	@test -z "$$(git status --porcelain)" || { echo "make dist: some changes are not committed, so nothing was built; see: git status" >&2; exit 1; }
	rm -rf dist
	$(EPOCH) $(BIN)/python -m hatchling build -d dist
	$(SUMS)

# for the Python, the processor and the C library of this machine; needs gcc or clang
wheel-compiled: setup
	$(EPOCH) HATCH_BUILD_HOOK_ENABLE_CUSTOM=true $(BIN)/python -m hatchling build -t wheel -d dist

# the tests of the sources, on the compiled wheel in an environment of its own; ARGS chooses others
COMPILED_TESTS := tests/unit tests/contract tests/integration/store/test_law.py tests/integration/stream tests/integration/producer/test_delivery.py
test-compiled: setup
	rm -rf .cache/compiled/dist
	HATCH_BUILD_HOOK_ENABLE_CUSTOM=true $(BIN)/python -m hatchling build -t wheel -d .cache/compiled/dist
	@test -x .cache/compiled/venv/bin/python || $(PYTHON) -m venv .cache/compiled/venv
	@$(MAKE) --no-print-directory .cache/compiled/venv/.dev
	@.cache/compiled/venv/bin/python -m pip install -q --no-deps --no-index --force-reinstall .cache/compiled/dist/*.whl
	TESTED_WHEEL=compiled .cache/compiled/venv/bin/python -m pytest $(or $(ARGS),$(COMPILED_TESTS)) -n 2

.cache/compiled/venv/.dev: requirements/dev.txt requirements/arq.txt
	@echo "installing what the tests need beside the compiled wheel ..."
	@.cache/compiled/venv/bin/python -m pip install -q --require-hashes --no-deps --no-compile -r requirements/dev.txt
	@.cache/compiled/venv/bin/python -m pip install -q --require-hashes --no-deps --no-warn-conflicts -r requirements/arq.txt
	@touch $@

# needs Python alone; ENGINE chooses, ARGS="-- --no-cache" gives the engine more options
image:
	@$(PYTHON) infra/docker/build_image.py $(if $(ENGINE),--engine $(ENGINE)) $(if $(PYTHON_IMAGE),--python-image $(PYTHON_IMAGE)) $(if $(BUILD_IMAGE),--build-image $(BUILD_IMAGE)) $(if $(SOURCE),--source $(SOURCE)) $(ARGS)

sbom: setup
	@$(BIN)/python infra/docker/make_sbom.py $(if $(ENGINE),--engine $(ENGINE)) $(ARGS)

# the base is made on this machine, unless PYTHON_IMAGE names one that Buildah can pull
image-test: setup
	$(BIN)/python -m pytest tests/integration/docker --long -n 0

clean:
	rm -rf $(VENV) .cache build dist .hypothesis
