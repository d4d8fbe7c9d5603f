# The commands of the project. `make` alone lists them.
#
# Needs Python 3.11 or newer, with venv; each target sets up whatever else it needs.
# ARGS goes to the command:  make demo ARGS="--customers 5000 --exit --json"

PYTHON ?= python3
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
# The next versions: Python 3.13, and the newest Django that pyproject.toml allows.
FORWARD := .venv-forward

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

.PHONY: help setup demo run test forward check bench chaos explore guards lock

help:   ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: $(READY)   ## install the locked dependencies into .venv, and nothing else

demo: $(READY)   ## campaigns from webhook to report, with a simulated Optimove and platform
	@exec $(PY) manage.py demo $(ARGS)

run: $(READY)   ## the portal: web server and workers
	@exec $(PY) manage.py run $(ARGS)

test: $(READY)   ## the tests, in random order
	@exec $(PY) -m pytest --numprocesses auto $(ARGS)

forward: $(FORWARD)/.ready   ## the tests on Python 3.13 with Django 6.1
	@exec $(FORWARD)/bin/python -m pytest --numprocesses auto $(ARGS)

bench: $(READY)   ## the measurements
	@exec $(PY) -m bench $(ARGS)

# All checks run, also after a failure, so that one run shows every problem.
CHECKS := format lint types imports migrations deploy

check: $(READY)   ## format, lint, types, imports, migrations, production settings
	@failed=; \
	for name in $(CHECKS); do \
		echo "== $$name"; \
		$(MAKE) --silent check-$$name || failed="$$failed $$name"; \
	done; \
	if [ -n "$$failed" ]; then echo "make check: failed:$$failed." >&2; exit 1; fi; \
	echo "make check: all is well ($(CHECKS))."

chaos: $(READY)   ## fault test: kill processes and break calls, then count the credits
	@exec $(PY) -m bench.chaos $(ARGS)

explore: $(READY)   ## many schedules of jobs, staff and faults, then count the credits
	@exec $(PY) -m bench.explorer $(ARGS)

guards: $(READY)   ## remove guards one by one, and report which tests fail
	@exec $(PY) -m bench.guards $(ARGS)

lock: $(READY)   ## lock the dependencies again (ARGS=--upgrade: the newest that fit)
	$(COMPILE) --python-version 3.11 --output-file requirements.lock $(ARGS)
	$(COMPILE) --python-version 3.11 --group dev --output-file requirements-dev.lock $(ARGS)
	$(COMPILE) --python-version 3.13 --group dev --output-file requirements-forward.lock $(ARGS)

# Only from the default index. Another index of the machine may have other versions
# and fewer files, and uv would write its address into the lock file.
COMPILE = env -u UV_CONFIG_FILE -u UV_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS \
	$(PY) -m uv --no-config pip compile pyproject.toml --quiet --universal \
	--generate-hashes --no-header

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

# The comparison needs no database. This address has none, and the warning about that is
# turned off.
check-migrations: $(READY)
	@DATABASE_URL=postgresql://portal@127.0.0.1:1/none \
	$(PY) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run

# The settings of a production system. No request is sent to these addresses.
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

# Install a lock into a folder: $(call install,FOLDER,LOCK,PYTHON,CONDITION). A folder
# whose Python does not meet the condition is made again. Everything goes to stderr, so
# that the last line on stdout belongs to the command.
define install
	@echo "Setting up $(1) from $(2). This happens once." >&2
	@$(1)/bin/python -c 'import pip, sys; sys.exit(not ($(4)))' >/dev/null 2>&1 \
		|| $(3) -m venv --clear $(1) >&2
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
		--require-hashes --requirement $(2) >&2
	@touch $(1)/.ready
endef

$(READY): requirements.lock requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || { \
		echo "promoportal needs Python 3.11 or newer, and '$(PYTHON)' is none." \
			"Name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' >/dev/null 2>&1 || { \
		echo "'$(PYTHON)' comes without venv. Install it (on Debian and Ubuntu it is" \
			"the package python3-venv), or name another Python:" \
			"make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(call install,$(VENV),requirements-dev.lock,$(PYTHON),sys.version_info >= (3, 11))

$(FORWARD)/.ready: requirements-forward.lock
	@$(MAKE) python313 >/dev/null
	$(call install,$(FORWARD),requirements-forward.lock,"$(PYTHON313)",$(IS_313))

IS_313 = sys.version_info[:2] == (3, 13)
# A name on PATH may be a stand-in that starts nothing, so each candidate is run.
RUNS_313 = -c 'import ensurepip, sys, venv; sys.exit(not ($(IS_313)))' >/dev/null 2>&1
ifndef PYTHON313
PYTHON313 = $(firstword $(shell \
	for python in python3.13 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.13*/bin/python3.13; \
	do "$$python" $(RUNS_313) && echo "$$python"; done))
endif

# Print the Python 3.13 of this machine; .ci/run asks, too.
.PHONY: python313
python313:
	@"$(PYTHON313)" $(RUNS_313) && echo "$(PYTHON313)" || { \
		echo "The next versions need Python 3.13 with venv, and none was found:" \
			"set PYTHON313=/path/to/python3.13." >&2; exit 1; }
