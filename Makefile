# Two commands: `make verify` judges the frameworks and writes a report, `make test` tests gradparity itself.
# Each does its whole set-up in .venv first.

PYTHON ?= python3
BIN := .venv/bin

# Bytecode of what is used is kept, also where containers tell Python to keep none: hundreds of processes start here, and
# each would compile all that it imports. What is never used need not be compiled: most of the frameworks, for a minute.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: verify test lint others conformance clean

# Exit status 1 says that something diverges, which is an answer and no failure of `make`.
verify: .venv/installed
	$(BIN)/gradparity verify --full-report || test $$? -eq 1

test: .venv/installed lint
	$(BIN)/pytest --numprocesses 2 --dist loadfile

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p .venv/typing && ln -sfn "$(CURDIR)" .venv/typing/gradparity
	cd .venv && MYPYPATH=typing bin/mypy --config-file ../pyproject.toml -p gradparity

# The other implementations, in an environment of their own; what cannot be had is named, and left out of the table.
# On Debian: apt-get install clang npm libfann-dev libcjson-dev libdlib-dev nlohmann-json3-dev
others:
	$(PYTHON) -m venv build/others
	build/others/bin/pip install --quiet --constraint constraints.txt --editable '.[others]'
	-build/others/bin/pip install --quiet paddlepaddle==3.3.1
	-npm install --silent --no-audit --no-fund --prefix examples/tfjs
	-npm install --silent --no-audit --no-fund --prefix examples/convnetjs
	-cc -O2 -DDOUBLE examples/fann/backprop.c -o examples/fann/fann64 -ldoublefann -lcjson -lm
	-cc -O2 examples/fann/backprop.c -o examples/fann/fann32 -lfann -lcjson -lm
	-c++ -std=c++17 -O2 examples/dlib/backprop.cpp -o examples/dlib/backprop -ldlib

conformance:
	build/others/bin/python examples/conformance.py

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[frameworks,develop]'
	touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
