# Two commands do all the set-up on a fresh machine: `make demo` (the main job) and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CORES  ?= 2

.PHONY: demo test lint chromium evidence seed clean

$(VENV)/.demo: pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "hubdna needs Python 3.11 or newer, found " + sys.version'
	@echo "installing into $(VENV) (a minute) ..."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[cpu,localhub]'
	touch $@

$(VENV)/.ready: $(VENV)/.demo   # with PyTorch, for the tests of receipts: gigabytes
	@echo "installing what the tests need (minutes) ..."
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

demo: $(VENV)/.demo      ## the whole pipeline on a local Hub, offline
	$(BIN)/hubdna demo

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint chromium       ## lint, types, tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(CORES) --dist loadfile

# Reports in HTML are opened in Chromium; without it, or without the right to install it, these tests are skipped.
chromium:                 ## Debian's Chromium and its driver, when they are missing and root asks
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
	{ test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "installing Chromium ..." && apt-get -qq update && \
	DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium chromium-driver >/dev/null; } || \
	echo "Chromium is not installed: the tests that open HTML reports will be skipped"

evidence: $(VENV)/.ready  ## run the boards and write docs/evidence.md
	$(BIN)/python scripts/evidence.py

seed: $(VENV)/.ready      ## rebuild index/ from its recipe's shipped part
	$(BIN)/python scripts/build_seed.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
