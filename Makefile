# Every target sets itself up on a fresh machine: python3 (3.11 or later) and make are all it
# takes. What is installed is remembered by stamp files in .venv, so the second run starts at once.

PYTHON ?= python3
VENV   ?= .venv
# pytest-xdist workers; each imports torch for itself, which two cores repay.
WORKERS ?= 2
# More arguments for pytest, as in: make test PYTEST_ARGS="-k kernels"
PYTEST_ARGS ?=

BIN     := $(VENV)/bin
# Versions of everything that is installed.
CONSTRAINTS ?= constraints.txt
INSTALL := $(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS)
# Threads of torch and BLAS: two workers on two cores.
TEST_ENV := OMP_NUM_THREADS=1

.PHONY: help demo test oldest lint docs bench dist clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   complete a real matrix and a real image, pictures in build/demo"
	@echo "make test   run the tests"
	@echo "make lint   check format, style, types and spelling"
	@echo "make docs   build the documentation into docs/_build/html"
	@echo "make bench  run the benchmarks and write docs/benchmarks.md"
	@echo "make dist   build wheel and sdist, and run the examples of the installed wheel"
	@echo "make oldest run the tests with the oldest versions that are supported"
	@echo "make clean  remove what the other targets made, .venv included"

# ---- set-up -------------------------------------------------------------------------------

# The pip that comes with Python 3.11 knows no dependency groups.
$(VENV)/stamp-pip: $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) pip
	@touch $@

# torch first: should its pin not resolve, this says so before anything else is fetched.
$(VENV)/stamp-package: pyproject.toml $(CONSTRAINTS) $(VENV)/stamp-pip
	$(INSTALL) torch
	$(INSTALL) --editable '.[plot,progress]'
	@touch $@

$(VENV)/stamp-test: $(VENV)/stamp-package
	$(INSTALL) --editable '.[plot,progress,distributed]' --group test
	@touch $@

$(VENV)/stamp-%: $(VENV)/stamp-package
	$(INSTALL) --group $*
	@touch $@

# ---- tasks --------------------------------------------------------------------------------

demo: $(VENV)/stamp-package
	MPLBACKEND=Agg $(BIN)/python examples/demo.py

# The second run is the estimators' common checks with array API dispatch, which scikit-learn
# allows only if the variable is set before it is imported. PYTEST_ARGS may select none of them,
# which pytest ends with 5.
test: $(VENV)/stamp-test
	$(TEST_ENV) $(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)
	$(TEST_ENV) SCIPY_ARRAY_API=1 $(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS) \
		tests/test_estimator_checks.py || test $$? -eq 5

lint: $(VENV)/stamp-lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/codespell

docs: $(VENV)/stamp-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "The documentation is in docs/_build/html/index.html"

bench: $(VENV)/stamp-bench
	@mkdir -p build
	$(BIN)/python -m pytest -p benchmark -o testpaths=benchmarks --benchmark-json=build/benchmarks.json $(PYTEST_ARGS)
	$(BIN)/python benchmarks/report.py build/benchmarks.json docs/benchmarks.md

# The wheel in an environment of its own, with nothing of this checkout in reach.
dist: $(VENV)/stamp-dist
	rm -rf build/wheel dist
	$(BIN)/python -m build --outdir dist .
	$(PYTHON) -m venv build/wheel
	build/wheel/bin/python -m pip install --quiet --constraint constraints.txt pip
	build/wheel/bin/python -m pip install --quiet --constraint constraints.txt torch
	build/wheel/bin/python -m pip install --quiet --constraint constraints.txt \
		"$$(ls $(CURDIR)/dist/*.whl)[plot,progress]" pytest pandas
	cd build/wheel && $(TEST_ENV) MPLBACKEND=Agg bin/python -m pytest -q --rootdir . \
		-c /dev/null -p no:cacheprovider --doctest-modules \
		-o doctest_optionflags="NORMALIZE_WHITESPACE ELLIPSIS" --pyargs skoverparam

# The lower bounds of pyproject.toml; torch stays at its pin.
oldest:
	$(MAKE) test VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt

clean:
	rm -rf $(VENV) .venv-oldest build dist docs/_build docs/api.rst docs/auto_examples docs/generated
	rm -rf .mypy_cache .pytest_cache .ruff_cache .benchmarks
	find skoverparam tests examples benchmarks -name __pycache__ -prune -exec rm -rf {} +
