# Each target does all of its own set-up in .venv and says what it does.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test accuracy lint clean

help:
	@echo "make demo      simulate a VLASS field and make its coarse cube in demo/ (two minutes)"
	@echo "make test      run the tests (a quarter of an hour and more)"
	@echo "make accuracy  compare a 16-plane cube with the simulated truth, in accuracy/ (ten minutes)"
	@echo "make lint      ruff, mypy and, for the C++, clang-format"

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

test: $(STAMP)
	@echo "== Checking style and types"
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	@echo "== Running the tests"
	$(BIN)/python -m pytest

accuracy: $(STAMP)
	@echo "== Making a 16-plane cube in accuracy/ and comparing it with the truth"
	$(BIN)/python benchmarks/accuracy.py accuracy

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	@test ! -x $(BIN)/clang-format || $(BIN)/clang-format --dry-run --Werror $(wildcard kernels/*.cpp kernels/*.hpp)

clean:
	rm -rf $(VENV) demo accuracy
