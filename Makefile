# Two commands: `make verify` judges the frameworks and writes a report, `make test` tests gradparity itself.
# Each does its whole set-up in .venv first.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: verify test lint clean

# Exit status 1 says that something diverges, which is an answer and no failure of `make`.
verify: .venv/installed
	$(BIN)/gradparity verify || test $$? -eq 1

test: .venv/installed lint
	$(BIN)/pytest --numprocesses 2 --dist loadfile

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p .venv/typing && ln -sfn "$(CURDIR)" .venv/typing/gradparity
	cd .venv && MYPYPATH=typing bin/mypy --config-file ../pyproject.toml -p gradparity

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[frameworks,develop]'
	touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
