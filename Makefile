# Every target makes the environment it needs, once, in .venv; nothing is installed elsewhere.
PYTHON ?= python3
BIN    := .venv/bin
# not compiled: most files of most packages are never imported
PIP    := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
# two processes of one thread each: threads that fight for two cores are slower
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal
# many processes of the tests and of the report import the package: it is compiled once
export PYTHONDONTWRITEBYTECODE =

# of `make mutants`: mutants a package (0: all of them), and which are drawn
SAMPLE   ?= 60
SEED     ?= 0
PACKAGES ?= linalg spectra estimate landscape

.PHONY: report test test-all test-matrix package mutants lint bench docs clean
.DELETE_ON_ERROR:

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.dev: pyproject.toml constraints.txt tests/requirements.txt | .venv/bin/python
	$(PIP) -e '.[dev]'
	$(PIP) --no-deps -r tests/requirements.txt
	@touch $@

.venv/.docs: .venv/.dev
	$(PIP) -e '.[docs]'
	@touch $@

.venv/.bench: .venv/.dev benchmarks/requirements.txt
	$(PIP) -e '.[bench]'
	$(PIP) --no-deps -r benchmarks/requirements.txt
	@touch $@

report: .venv/.dev    ## run every experiment with its quick preset and write report/report.html
	$(BIN)/hessium reproduce --preset quick --out report --workers 2

test: .venv/.dev      ## the test suite
	$(PYTEST)

test-all: .venv/.dev  ## with the slow tests, and types and shapes checked in every call
	$(PYTEST) --shapes -m 'not gpu'

test-matrix:          ## the tests with every Python and torch that this machine has (MATRIX="--large" downloads more)
	$(PYTHON) tools/matrix.py $(MATRIX)

package:              ## build wheel and sdist and try them in an empty environment
	$(PYTHON) tools/try_package.py

mutants: .venv/.dev   ## do the tests notice errors? SAMPLE=60 SEED=0 PACKAGES="linalg spectra"
	OMP_NUM_THREADS=1 nice -n 10 $(BIN)/python tools/mutants.py --sample $(SAMPLE) --seed $(SEED) --packages $(PACKAGES)

lint: .venv/.dev      ## style, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.bench   ## speed, as ratios within one run, against the peers: at the defaults, then on one thread
	rm -f docs/benchmarks/rows.jsonl
	for threads in default one; do \
	  PYTHONPATH=benchmarks $(BIN)/pytest benchmarks -p race -o addopts='' -W default -q \
	    --threads $$threads --rows docs/benchmarks/rows.jsonl || exit 1; \
	done
	$(BIN)/python tools/benchmark_table.py docs/benchmarks/rows.jsonl > docs/benchmarks/rows.md

docs: .venv/.docs     ## docs/_build/html/index.html, warnings are errors
	$(BIN)/sphinx-build -W -b html docs docs/_build/html
	$(BIN)/python tools/check_site.py

clean:                ## remove everything that these targets made, but not your reports
	rm -rf docs/gallery .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .benchmarks docs/_build
