# Everything a person, or a machine, does here. `make` alone says what there is.
#
# Needs Python 3.11 or newer, with venv; each target sets up whatever else it needs.
# ARGS goes to the command:  make demo ARGS="--customers 5000 --exit --json"

PYTHON ?= python3
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

.PHONY: help setup demo run test check bench chaos lock

help:   ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

setup: $(READY)   ## install the locked dependencies into .venv, and nothing else

demo: $(READY)   ## campaigns from notice to redemption, both far sides on your desk
	@exec $(PY) manage.py demo $(ARGS)

run: $(READY)   ## the portal: web and workers, without the far sides
	@exec $(PY) manage.py run $(ARGS)

test: $(READY)   ## the tests, in random order
	@exec $(PY) -m pytest --numprocesses auto $(ARGS)

bench: $(READY)   ## the measurements
	@exec $(PY) -m bench $(ARGS)

# All of them, whatever the first ones say: one look tells what there is to mend.
CHECKS := format lint types imports migrations deploy

check: $(READY)   ## format, lint, types, imports, migrations, production settings
	@failed=; \
	for name in $(CHECKS); do \
		echo "== $$name"; \
		$(MAKE) --silent check-$$name || failed="$$failed $$name"; \
	done; \
	if [ -n "$$failed" ]; then echo "make check: failed:$$failed." >&2; exit 1; fi; \
	echo "make check: all is well ($(CHECKS))."

chaos: $(READY)   ## a storm of kills and lies over a portal of its own, and the count of credits
	@exec $(PY) -m bench.chaos $(ARGS)

lock: $(READY)   ## lock the dependencies anew (ARGS=--upgrade: the newest that fit)
	$(COMPILE) --output-file requirements.lock $(ARGS)
	$(COMPILE) --output-file requirements-dev.lock --group dev $(ARGS)

COMPILE = $(PY) -m uv pip compile pyproject.toml --quiet --universal \
	--python-version 3.11 --generate-hashes --no-header --no-emit-index-url

# --- Each check by itself -----------------------------------------------------------

.PHONY: $(CHECKS:%=check-%)

check-format: $(READY)
	@$(PY) -m ruff format --check .

check-lint: $(READY)
	@$(PY) -m ruff check .

check-types: $(READY)
	@$(PY) -m mypy .

check-imports: $(READY)
	@$(VENV)/bin/lint-imports

# Models and migrations are compared without a database: this address has none, and the
# warning that says so is left out.
check-migrations: $(READY)
	@DATABASE_URL=postgresql://nobody@127.0.0.1:1/none \
	$(PY) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run

# As a production would be set; nothing is asked at these addresses.
check-deploy: $(READY)
	@env -i PATH="$$PATH" DEBUG=false \
	SECRET_KEY="$$($(PY) -c 'import secrets; print(secrets.token_urlsafe(64))')" \
	ALLOWED_HOSTS=portal.example.com \
	PORTAL_URL=https://portal.example.com \
	TRUSTED_PROXIES=1 \
	DATABASE_URL=postgresql://portal@database.example.com/portal \
	OPTIMOVE_API_URL=https://external.example.com \
	OPTIMOVE_PROMOTIONS_URL=https://promotions.example.com \
	OPTIMOVE_API_KEY=a-key \
	PLATFORM_URL=https://platform.example.com \
	PLATFORM_TOKEN=a-token \
	$(PY) manage.py check --deploy --fail-level WARNING

# --- Setting up ---------------------------------------------------------------------

# On stderr, whatever it says: the last line on stdout belongs to the command.
$(READY): requirements.lock requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || { \
		echo "promoportal needs Python 3.11 or newer, and '$(PYTHON)' is none." \
			"Name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' >/dev/null 2>&1 || { \
		echo "'$(PYTHON)' comes without venv. Install it (on Debian and Ubuntu it is" \
			"the package python3-venv), or name another Python:" \
			"make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up $(VENV) from requirements-dev.lock. This happens once." >&2
	@$(PY) -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
		|| $(PYTHON) -m venv --clear $(VENV) >&2
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-input \
		--require-hashes --requirement requirements-dev.lock >&2
	@touch $(READY)
