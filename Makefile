# Every target sets up what it needs in .venv first; a second run skips what is done. Only sh, git and Python are needed.
.DEFAULT_GOAL := help
.PHONY: help setup book test lint notebooks student instructor mark bench gpu clean
PYTHON ?= python3
PY := .venv/bin/python
BOOK := .venv/bin/lightm-book
STAMP := .venv/lightm-stamp

help: ## this list
	@echo "lightm: LightM-UNet, line by line. Targets:"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18
	@echo "First time: make book (needs git and Python 3.11 or newer; PYTHON=... names another interpreter)."

$(STAMP): requirements/all.in requirements/constraints.txt pyproject.toml src/lightm_book/builders/setup_venv.sh
	@PYTHON="$(PYTHON)" sh src/lightm_book/builders/setup_venv.sh $(STAMP)

setup: $(STAMP) ## only make .venv (the others do this by themselves)

book: $(STAMP) ## train a small LightM-UNet, run every notebook, build the book
	@$(BOOK) build

# A file (a notebook too) stays in one process, with one thread each: files side by side gain more than threads do.
test: $(STAMP) ## lint, unit tests, every notebook against its outputs, the built pages
	$(PY) -m ruff check .
	OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --nbval tests notebooks

lint: $(STAMP) ## ruff
	$(PY) -m ruff check .

notebooks: $(STAMP) ## run notebooks/src/*.py into notebooks/*.ipynb (ONLY=name for one)
	@$(BOOK) notebooks $(if $(ONLY),--only $(ONLY))

student: $(STAMP) ## the notebooks without solutions, for a class: _build/student (ONLY=name for one)
	@$(BOOK) notebooks --edition student $(if $(ONLY),--only $(ONLY))

instructor: $(STAMP) ## the notebooks with solutions filled in, run and asserted: _build/instructor (ONLY=name)
	@$(BOOK) notebooks --edition instructor $(if $(ONLY),--only $(ONLY))

mark: $(STAMP) ## run notebooks with answers and list the points (NOTEBOOKS="a.ipynb b.ipynb")
	@$(BOOK) mark $(NOTEBOOKS)

bench: $(STAMP) ## time the scan and a training step beside other software: _build/bench/*.json (minutes)
	$(PY) -m pip install -q -c requirements/constraints.txt mambapy
	@mkdir -p _build/bench
	$(BOOK) bench scan --peers --json _build/bench/scan.json
	$(BOOK) bench step --peers mamba.py --json _build/bench/step.json

gpu: $(STAMP) ## the paper's experiments on an NVIDIA GPU, as far as they are pending (BUDGET=minutes, ONLY=name)
	$(BOOK) reproduce $(if $(BUDGET),--budget $(BUDGET)) $(if $(ONLY),--only $(ONLY))

clean: ## remove what was built (keeps .venv and runs/)
	rm -rf _build .pytest_cache .ruff_cache
