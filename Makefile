# Everything a fresh machine needs: Python 3.11 to 3.13, make, and a network to install from.
PYTHON ?= python3
PIP = .venv/bin/python -m pip --disable-pip-version-check

.PHONY: help demo test lint man clean venv
.DEFAULT_GOAL := help

help:
	@echo "make demo   install, train on the example data, score, evaluate: under ten minutes"
	@echo "make test   install and run the tests"
	@echo "make lint   install and run ruff and mypy"
	@echo "make man    write the man pages from the commands' help"
	@echo "make venv   install everything into .venv"
	@echo "make clean  remove what the above made"

# One stamp for each set of extras: a demo needs no test tools.
.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	    echo "tfbind needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=python3.12 ..." >&2; \
	    exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/demo: .venv/made pyproject.toml
	@echo 'installing tfbind and what it needs into .venv: a few minutes the first time'
	@$(PIP) install --quiet --editable '.[train,plot]'
	@touch $@

.venv/test: .venv/made pyproject.toml
	@echo 'installing tfbind and what it needs into .venv: a few minutes the first time'
	@$(PIP) install --quiet --editable '.[test]'
	@touch $@ .venv/demo

venv: .venv/test

demo: .venv/demo
	PATH="$(CURDIR)/.venv/bin:$$PATH" bash examples/demo.sh

# A file of tests stays in one process, as its tests share what they made.
test: .venv/test
	.venv/bin/pytest -n auto --dist loadfile

lint: .venv/test
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

man: .venv/test
	.venv/bin/python man/build.py

clean:
	rm -rf .venv build dist demo *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
