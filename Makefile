# Tasks of a developer; `make` lists them. They use the environment in .venv, which `make setup` creates.
.PHONY: help setup test slow clients lowest lint format docs bench ci

help:
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

setup: ## creates .venv with everything for development
	python3 -m venv .venv && .venv/bin/pip install -e '.[test,docs]' && .venv/bin/pre-commit install

test: ## fast tests
	.venv/bin/pytest

slow: ## slow tests
	.venv/bin/pytest -m slow

clients: ## the table of docs/reference/runtimes.md, anew
	WRITE_CLIENT_TABLE=1 .venv/bin/pytest -m slow tests/clients

lowest: ## tests with the lowest versions that pyproject.toml allows
	.ci/lowest-versions

lint: ## ruff, its format, mypy, import contracts
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports

format: ## formats the code
	.venv/bin/ruff check --fix . && .venv/bin/ruff format .

docs: ## the documentation site, into build/site
	.venv/bin/mkdocs build --strict

bench: ## the main artifacts beside the stock ones
	.venv/bin/python -m benchmarks --quick

ci: ## what CI runs
	.ci/run
