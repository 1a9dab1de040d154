# make lab    set everything up (once) and open the course in JupyterLab; ARGS="--port 9000" goes to JupyterLab
# make test   the tests and every notebook, from top to bottom; ARGS="-k bpe" goes to pytest;
#             CPU=avx2 or CPU=portable as on an older processor (works with lab as well)
# make lint   formatting, lint rules, types, spelling, who imports whom, declared dependencies
# make large  every chapter with larger experiments, in an hour or two; make weekly: tests that take minutes
# make help   all targets
#
# Written for the make 3.81 of macOS as well. PYTHON=python3.12 chooses the Python that .venv is made of.

SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# What `pip install -e` needs beside the package's own requirements. setuptools is for packages that come as source only.
BUILD_TOOLS := cmake ninja pybind11 scikit-build-core setuptools
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
# Folders are listed too: their time changes when a file is added or removed.
SOURCES := pyproject.toml constraints.txt CMakeLists.txt \
  $(shell find csrc jupyter -type d -o -name '*.cpp' -o -name '*.hpp' -o -name '*.inc' -o -name '*.json')
CXX_FILES = $$(find csrc tests -name '*.cpp' -o -name '*.hpp')

# JupyterLab refuses to run as root unless told to, as in containers.
ALLOW_ROOT := $(shell test "$$(id -u)" != 0 || echo --allow-root)

# The environment's commands (course, jupyter) are found first, in notebooks and in JupyterLab's terminals too.
IN_VENV = VIRTUAL_ENV="$(CURDIR)/$(VENV)" PATH="$(CURDIR)/$(BIN):$$PATH"

# What a processor without AVX-512 (and AMX), or without AVX2, would do: for the kernels of the course, of torch, of the
# libraries below it and of NumPy. OPENBLAS_CORETYPE keeps a value that the machine needs.
CPU ?=
ifeq ($(CPU),avx2)
export COURSE_CPU_CAPABILITY := avx2
export ATEN_CPU_CAPABILITY := avx2
export ONEDNN_MAX_CPU_ISA := AVX2
export MKL_ENABLE_INSTRUCTIONS := AVX2
export NPY_DISABLE_CPU_FEATURES := X86_V4 AVX512_ICL AVX512_SPR
export OPENBLAS_CORETYPE ?= Haswell
else ifeq ($(CPU),portable)
export COURSE_CPU_CAPABILITY := portable
export ATEN_CPU_CAPABILITY := default
export ONEDNN_MAX_CPU_ISA := SSE41
export MKL_ENABLE_INSTRUCTIONS := SSE4_2
export NPY_DISABLE_CPU_FEATURES := X86_V3 X86_V4 AVX512_ICL AVX512_SPR
export OPENBLAS_CORETYPE ?= Nehalem
else ifneq ($(CPU),)
$(error CPU is '$(CPU)'; allowed are avx2, portable, or nothing for all that the processor has)
endif

define NO_COMPILER
Error: no C++20 compiler works here; install GCC 11+ or Clang 14+ \
(Debian/Ubuntu: sudo apt install g++; Fedora: sudo dnf install gcc-c++; macOS: xcode-select --install), then run make again.
endef
define NO_PYTHON
Error: $(PYTHON) is not Python 3.11 or newer; install one and name it, for example: make PYTHON=python3.12 $(MAKECMDGOALS)
endef
define NO_HEADERS
Error: $(PYTHON) lacks its venv module or its C headers; install them \
(Debian/Ubuntu: sudo apt install python3-venv python3-dev; Fedora: sudo dnf install python3-devel), then run make again.
endef

.PHONY: lab test margins large weekly browser lint format notebooks student pins clean help setup
.DEFAULT_GOAL := help

help:
	@echo 'make setup      only set up .venv and compile the engine'
	@echo 'make lab        open the course in JupyterLab (sets up .venv the first time)'
	@echo 'make test       run the tests and every notebook'
	@echo 'make margins    how far numeric assertions stay from their bounds (ARGS="record ..." or "table ...")'
	@echo 'make large      run every notebook with COURSE_SCALE=reduced, halfway to large'
	@echo 'make weekly     run the tests that take minutes'
	@echo 'make browser    run the tests that drive Chromium'
	@echo 'make lint       check formatting, lint rules, types, spelling, imports and dependencies'
	@echo 'make format     format Python, C++ and notebooks'
	@echo 'make notebooks  strip outputs, as notebooks are committed'
	@echo 'make student    copies of the notebooks without solutions, in the folder OUT (student)'
	@echo 'make pins       write the installed versions to constraints.txt'
	@echo 'make clean      remove .venv, build folders and caches'

lab: setup
	$(IN_VENV) jupyter lab $(ALLOW_ROOT) --ServerApp.ip=127.0.0.1 notebooks/00_start_here.ipynb $(ARGS)

# All processors, unless one test or one notebook is named: conftest.py says how.
WORKERS ?= $(if $(findstring ::,$(ARGS))$(filter %.ipynb,$(ARGS)),0,auto)

test: setup
	$(IN_VENV) python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

# How far the numeric assertions stay from their bounds; ARGS says what to record or print (tests/margins/__main__.py).
margins: setup
	$(IN_VENV) python -m tests.margins $(ARGS)

large: setup
	$(IN_VENV) COURSE_SCALE=reduced python -m pytest --nbmake-timeout=3600 --timeout=7200 notebooks $(ARGS)

weekly: setup
	$(IN_VENV) python -m pytest -m weekly $(ARGS)

browser: $(VENV)/.installed-browser
	$(IN_VENV) python -m pytest -m browser tests/browser $(ARGS)

lint: $(VENV)/.installed-lint
	$(IN_VENV) ruff check .
	$(IN_VENV) ruff format --check .
	$(IN_VENV) mypy
	$(IN_VENV) lint-imports
	$(IN_VENV) deptry course_lib
	$(IN_VENV) clang-format --dry-run -Werror $(CXX_FILES)
	$(IN_VENV) codespell

format: $(VENV)/.installed-lint
	$(IN_VENV) ruff check --fix .
	$(IN_VENV) ruff format .
	$(IN_VENV) clang-format -i $(CXX_FILES)

notebooks: $(VENV)/.installed-lint
	$(IN_VENV) nbstripout --keep-id notebooks/*.ipynb

student: setup
	$(IN_VENV) course exercises student $(or $(OUT),student)

# After new versions were tried in .venv: write them down.
pins: $(VENV)/.installed-lint $(VENV)/.installed-browser $(VENV)/.installed-bench
	$(IN_VENV) python .ci/pin.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find course_lib tests notebooks benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
	find notebooks -name .ipynb_checkpoints -type d -prune -exec rm -rf {} +

setup: $(VENV)/.installed

# Everything that `lab` and `test` need, in one environment; again when a requirement or the engine's source has changed.
$(VENV)/.installed: $(SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo '$(strip $(NO_PYTHON))' >&2; exit 1; }
	@for compiler in "$$CXX" c++ g++ clang++; do \
	  test -n "$$compiler" && printf '#include <bit>\n#include <span>\nint main() { return std::span<int>().size(); }\n' \
	    | $$compiler -std=c++20 -x c++ -fsyntax-only - 2>/dev/null && exit 0; done; echo '$(strip $(NO_COMPILER))' >&2; exit 1
	@$(PYTHON) -c 'import ensurepip, os, sys, sysconfig, venv; \
	  sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' 2>/dev/null \
	  || { echo '$(strip $(NO_HEADERS))' >&2; exit 1; }
	@test -x $(BIN)/python || echo 'Setting up .venv: the first time this downloads about 1 GB and takes a few minutes.'
	@$(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@echo 'Installing requirements and compiling the engine ...'
	@$(PIP_INSTALL) $(BUILD_TOOLS)
	@$(PIP_INSTALL) --no-build-isolation --editable '.[test]'
	@# nbgrader is here for the students' copies; its menus would only distract a reader.
	@$(IN_VENV) jupyter labextension disable --level=sys_prefix @jupyter/nbgrader >/dev/null 2>&1
	@# JupyterLab asks for no news, updates or extensions: nothing here needs the network.
	@mkdir -p $(VENV)/etc && cp -R jupyter $(VENV)/etc
	@touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	@echo 'Installing what $* needs ...'
	@$(PIP_INSTALL) --no-build-isolation --editable '.[test,$*]'
	@touch $@
