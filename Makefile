# make demo     everything on a synthetic head: installs, builds, trains, drives, scores
# make test     the test suite
# make slow     the tests that take more than some seconds each
# make lint     ruff and mypy
# make kernels  only compile the kernels again
#
# Without a GPU, PyTorch's own index of CPU builds spares gigabytes:   make demo TORCH_INDEX=URL

VENV ?= .venv
TORCH_INDEX ?=
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PACKAGING := setup.cfg pyproject.toml constraints.txt
KERNELS := $(wildcard src/gstalker/native/src/*) src/gstalker/native/build.py

.PHONY: demo test slow lint kernels clean
.DELETE_ON_ERROR:

demo: $(VENV)/.kernels
	$(BIN)/gstalker demo --out demo

# A worker for each core, four at most: most tests wait for Python, which has one thread.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal

test: $(VENV)/.dev $(VENV)/.kernels
	$(PYTEST)

slow: $(VENV)/.dev $(VENV)/.kernels
	$(PYTEST) -m slow

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

kernels: $(VENV)/.installed
	$(BIN)/python -m gstalker.native
	@touch $(VENV)/.kernels

clean:
	rm -rf $(VENV) build dist src/gstalker/native/lib

$(VENV)/.kernels: $(VENV)/.installed $(KERNELS)
	$(BIN)/python -m gstalker.native
	@touch $@

$(VENV)/.installed: $(VENV)/.torch $(PACKAGING)
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed $(PACKAGING)
	$(PIP) install --constraint constraints.txt --editable '.[prepare,slurm,tensorboard,dev]'
	@touch $@

# First and by itself: torch may come from another index than the rest. Where that cannot be
# reached, the next step takes what pip finds.
$(VENV)/.torch: constraints.txt | $(BIN)/python
ifneq ($(strip $(TORCH_INDEX)),)
	$(PIP) install --no-deps --retries 1 --timeout 15 --index-url $(TORCH_INDEX) \
		--constraint constraints.txt torch || echo 'going on with the usual index'
endif
	@touch $@

$(BIN)/python:
	@test -n '$(PYTHON)' || { echo 'No Python 3.11 or newer was found. Install one, or say: make $(MAKECMDGOALS) PYTHON=/path/to/python'; exit 1; }
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
