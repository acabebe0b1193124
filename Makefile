#: make train    train a character language model       ARGS="--cell gru --steps 500", EXTRAS=cuda on a GPU machine
#: make sample   write text with a trained one           ARGS="--help" for the options
#: make test     the quick tests, in minutes             ARGS="-k lstm", WORKERS=1 for one process
#: make test-all the rest: experiments, notebooks, README, wide tables, and some of all as users compile
#: make check    ruff, its formatter, pyright
#: make properties  draws 10,000 calls of unroll       ARGS="500 --seed 3" for other ones
#: make docs     the documentation as a site, in docs/_build/html
#: make cells    write docs/cells.md anew, the page of every cell, and a figure of each
#: make gallery  run experiments, and write their figures anew in docs/gallery   ARGS="addition names"
#: make demo     a page that writes with what make train has made, and one that forecasts   ARGS="--port 9000"
#: make bench    reprint the tables of benchmarks/       ARGS="peers --cells lstm", EXTRAS=peers for other libraries
#: make clean    remove .venv and caches; runs/ stays
#:
#: Each makes what it needs in .venv first: PYTHON=python3.13 chooses the interpreter, EXTRAS=cuda,peers adds extras.

PYTHON  ?= python3
VENV    ?= .venv
EXTRAS  ?=
WORKERS ?= 2
ARGS    ?=

BIN   := $(VENV)/bin
comma := ,
# $(call installed,train): the stamp of an installation with these extras, such as .venv/.has-train,cuda
installed = $(VENV)/.has-$(1)$(if $(EXTRAS),$(comma)$(EXTRAS))

.PHONY: help train sample test test-all properties check docs cells gallery demo bench clean environment another-interpreter
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#: \{0,1\}//p' Makefile

train: $(call installed,train)
	$(BIN)/python -u -m experiments.char_lm $(ARGS)

sample: $(call installed,train)
	$(BIN)/python -m experiments.sample $(ARGS)

# make answers every failure with 2; pytest's own status is left in a file for .ci/run.
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
status = status=$$?; echo $$status > $(VENV)/.pytest-status; exit $$status

test: $(call installed,test)
	@$(PYTEST) -m "not full" --ignore tests/full $(ARGS); $(status)

# The second run: XLA as users have it, for the quick ones that are marked so.
test-all: $(call installed,test)
	@$(PYTEST) -m full $(ARGS) && XLA_FLAGS= $(PYTEST) -m "optimized and not full" --ignore tests/full $(ARGS); $(status)

properties: $(call installed,test)
	$(BIN)/python tests/property.py $(ARGS)

check: $(call installed,dev)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

# With the demo, where npm can bring what it runs on.
docs: $(call installed,docs) $(if $(shell command -v npm),docs/node_modules)
	$(BIN)/python -m sphinx -W --keep-going -q -b html -c docs $(ARGS) . docs/_build/html
	@echo "docs/_build/html/index.html"

cells: $(call installed,train)
	$(BIN)/python docs/cells.py > docs/.cells.md && mv docs/.cells.md docs/cells.md
	$(BIN)/python docs/responses.py

gallery: $(call installed,train$(comma)experiments)
	$(BIN)/python docs/gallery.py $(ARGS)

demo: $(call installed,demo) docs/node_modules
	@$(BIN)/python -u docs/demo.py $(ARGS)

docs/node_modules: docs/package.json
	@command -v npm >/dev/null || { echo "There is no npm here, which brings onnxruntime-web. On Debian: apt install npm"; exit 1; }
	@npm install --prefix docs --silent --no-audit --no-fund --ignore-scripts --no-package-lock
	@touch $@

bench: $(call installed,train)
	$(BIN)/python -m benchmarks.run $(ARGS)

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What `make test` runs in, without running it.
environment: $(call installed,test)

$(VENV)/.has-%: pyproject.toml $(VENV)/.made-with
	@echo "Installing jaxrnn[$*] in $(VENV): once, a minute or two."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch '$@'

MADE_WITH := $(shell cat $(VENV)/.made-with 2>/dev/null)

# Without PYTHON= the .venv that is there will do; with another PYTHON than it was made with, it is made anew.
ifneq ($(origin PYTHON),file)
ifneq ($(MADE_WITH),$(PYTHON))
$(VENV)/.made-with: another-interpreter
endif
endif

$(VENV)/.made-with:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here: make ... PYTHON=python3.x"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "jaxrnn needs Python 3.11 or newer, got $$($(PYTHON) --version): make ... PYTHON=python3.x"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(if $(MADE_WITH),--clear) $(VENV)
	@echo '$(PYTHON)' > $@
