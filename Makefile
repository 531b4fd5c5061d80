# Each target does all of its own set-up in .venv and says what it does.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Tests that need no CASA, no browser, and together take about two minutes.
FAST := not (casa or browser or slow or endtoend)

.PHONY: help demo test test-fast test-python313 accuracy lint clean

help:
	@echo "make demo            simulate a VLASS field and make its coarse cube in demo/ (two minutes)"
	@echo "make test-fast       check style and types, run the tests without CASA and browser (two minutes)"
	@echo "make test            check style and types, run all tests (half an hour)"
	@echo "make test-python313  run demo and tests on Python 3.13 with the newest CASA (root, debootstrap; half an hour)"
	@echo "make accuracy        compare cubes of simulated fields with the truth, in accuracy/ (an hour; some: CASES=z50)"
	@echo "make lint            check style and types: ruff, mypy and, for the C++, clang-format"

# An editable installation remembers where packages are.
$(STAMP): pyproject.toml CMakeLists.txt $(wildcard kernels/*) $(wildcard src/vlasscube/*/__init__.py)
	@echo "== Installing vlasscube and CASA into $(VENV) (2 GB, a few minutes the first time)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)
	@echo "== Simulating a VLASS field and making its coarse cube in demo/"
	$(BIN)/vlasscube demo demo

# A test that needs CASA and does not say so fails: without_casa/ holds CASA packages that cannot be imported.
test-fast: lint
	@echo "== Running the tests without CASA and browser"
	PYTHONPATH=$(CURDIR)/tests/without_casa $(BIN)/python -m pytest -m "$(FAST)"

test: test-fast
	@echo "== Running the other tests"
	$(BIN)/python -m pytest -m "not ($(FAST))"

# Its installation is one of its own, in a root file system of its own.
test-python313:
	tests/python313.sh

accuracy: $(STAMP)
	@echo "== Making cubes in accuracy/ and comparing them with the truth"
	$(BIN)/python benchmarks/accuracy.py accuracy $(CASES)

lint: $(STAMP)
	@echo "== Checking style and types"
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	@test ! -x $(BIN)/clang-format || $(BIN)/clang-format --dry-run --Werror $(wildcard kernels/*.cpp kernels/*.hpp)

clean:
	rm -rf $(VENV) .python313 demo accuracy
