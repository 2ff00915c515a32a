# Keyhold's commands. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help run test demo check lock bench requirements requirements-dev

PYTHON := .venv/bin/python
PURE := gateway keys/vault.py keys/json_source.py keys/addresses.py keys/credentials.py keys/catalog.py keys/overrides.py \
	keys/routing.py keys/health.py keys/preferences.py keys/restrictions.py keys/networks.py keys/order.py keys/schedule.py keys/pages/strip.py \
	keys/pages/history.py keys/client_keys.py keys/providers keys/egress.py usage/journal.py usage/latency.py usage/prices.py

help: ## List these commands.
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

run: requirements ## Serve dashboard and gateway on PORT (8000). The first time, prints the link to begin with.
	@$(PYTHON) manage.py serve

test: requirements-dev ## Run all tests: on PostgreSQL and Valkey with a browser, then the core on SQLite.
	@CHROMIUM=$$(bin/chromium) && export CHROMIUM && \
	$(PYTHON) -m pytest -n 3 --maxschedchunk 4 && \
	KEYHOLD_TEST_DATABASE=sqlite $(PYTHON) -m pytest -n 3 --maxschedchunk 4 --ignore=tests/browser

demo: requirements ## Serve a demo organization with 90 days of usage and a provider that only pretends.
	@$(PYTHON) manage.py demo

check: requirements-dev ## Lint, types, missing migrations, and Django's own checks for production.
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy $(PURE)
	DATA_DIR=var/check $(PYTHON) manage.py makemigrations --check --dry-run
	DATA_DIR=var/check PUBLIC_URL=https://keyhold.example ALLOWED_HOSTS=keyhold.example EMAIL_URL=smtp://localhost \
	$(PYTHON) manage.py check --deploy --fail-level WARNING

lock: requirements-dev ## Write requirements.txt and requirements-dev.txt anew from their .in files.
	bin/lock

bench: requirements-dev ## Measure the gateway beside its provider, in one run, on this machine.
	$(PYTHON) -m bench

requirements:
	@bin/bootstrap requirements.txt

requirements-dev:
	@bin/bootstrap requirements-dev.txt
