# `make help` lists the targets. Only Python 3.11 to 3.13 with pip, git and make are needed.
.DEFAULT_GOAL := help
.PHONY: help demo up test test-all long test-oldest lint audit docs format bench fuzz soak readers cluster upgrade mutants screenshots clean

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
STATE ?= .rwt
ARGS ?=
BIN := .venv/bin
READY := .venv/.ready
DOCS_READY := .venv/.ready-for-docs
MUTANTS_READY := .venv/.ready-for-mutants
UV_SYNC := VIRTUAL_ENV="$$PWD/.venv" $(BIN)/uv sync --active --frozen --inexact --all-extras --system-certs --no-python-downloads --compile-bytecode --quiet

help: ## what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: $(READY) ## start everything, send a real archive through, show the result (ARGS=--exit to end then)
	$(BIN)/rwt demo --state "$(STATE)" $(ARGS)

up: $(READY) ## start everything: S3, SQS, webserver, daemon
	$(BIN)/rwt up --state "$(STATE)"

# A file stays in one process, so that what it starts is started once. The folders that start
# servers come before `unit`, whose many small files fill the end.
TWO_AT_A_TIME := --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations=15

test: $(READY) ## the tests of every day, in five minutes (ARGS="-k name" for some of all)
ifeq ($(ARGS),)
	$(BIN)/pytest $(TWO_AT_A_TIME) -m "not extended and not long"
else
	$(BIN)/pytest $(ARGS)
endif

test-all: $(READY) ## those and the extended ones: browser, wheel, contracts of servers, more cases
	$(BIN)/pytest $(TWO_AT_A_TIME) -m "not long" $(ARGS)

long: $(READY) ## every command of the tutorial and the how-to pages, PostgreSQL, a soak, more cases (40 minutes)
	$(BIN)/pytest --numprocesses 2 --dist load --durations=15 -m long $(ARGS)

test-oldest: $(READY) ## the tests of the assets with the oldest Dagster that pyproject.toml admits
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-oldest
	VIRTUAL_ENV="$$PWD/.venv-oldest" $(BIN)/uv pip install --quiet --system-certs \
		--editable '.[local,metrics,query,zip]' --group dev --constraints rwt_assets_tests/oldest-dagster.txt
	.venv-oldest/bin/pytest rwt_assets_tests/assets $(ARGS)

# Without check-yaml: of several files of one component type it validates whichever the directory
# lists last. Loading the definitions checks every file.
lint: $(READY) ## ruff, mypy, contracts of imports, linters of docs/deploy, Dagster's own check of the definitions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m rwt_assets_tests.words
	$(BIN)/hadolint docs/deploy/Containerfile
	$(BIN)/cfn-lint docs/deploy/ecs/stack.yaml
	VIRTUAL_ENV="$$PWD/.venv" PATH="$$PWD/$(BIN):$$PATH" $(BIN)/dg check defs --no-check-yaml

# Status 1 if it finds something, and 0 with a sentence where the database cannot be asked.
audit: $(READY) ## known vulnerabilities in what uv.lock names (asks osv.dev)
	@$(BIN)/uv audit --frozen --preview-features audit-command || { status=$$?; test $$status -eq 2 \
		&& echo "NOT AUDITED: osv.dev could not be asked (uv's reason is above)."; }

docs: $(DOCS_READY) ## the documentation site in .site/; a dead link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --config-file .mkdocs.yml --strict

format: $(READY) ## let ruff rewrite what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## compare with scripts of five tools, and time the daemon (an hour; ARGS=scripts for less)
	$(BIN)/python -m rwt_assets_tests.benchmarks $(ARGS)

cluster: $(READY) ## PostgreSQL, RabbitMQ and three Celery workers here: a demo, and what happens when parts fail
	rwt_assets_tests/cluster/install_servers.sh
	$(BIN)/python -m rwt_assets_tests.cluster $(ARGS)

soak: $(READY) ## 500 archives while things are killed, fail and are declared again (ARGS="--archives 60" for less)
	$(BIN)/python -m rwt_assets_tests.end_to_end.soak $(ARGS)

readers: $(READY) ## 50 rounds of re-uploads, replays and refusals while others read (ARGS="--rounds 6" for less)
	$(BIN)/python -m rwt_assets_tests.end_to_end.readers $(ARGS)

upgrade: $(READY) ## go on with what an earlier version left, and back again (a while)
	$(BIN)/python -m rwt_assets_tests.end_to_end.upgrade $(ARGS)

fuzz: $(READY) ## 150,000 messages, 600,000 damaged archives and texts, 200,000 columns, 1,000 failed second passes (hours)
	HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest -o timeout=18000 --hypothesis-show-statistics $(ARGS) \
		rwt_assets_tests/unit/test_notifications.py \
		rwt_assets_tests/unit/test_archive_fuzz.py \
		rwt_assets_tests/unit/test_csv_fuzz.py \
		rwt_assets_tests/unit/test_values_fuzz.py \
		rwt_assets_tests/unit/test_delivered_bytes.py -k surprise

mutants: $(MUTANTS_READY) ## change a room in small ways and see which change no test finds (hours; ARGS="'rwt_assets.archive.zip_budget*'")
	$(BIN)/mutmut run $(ARGS)
	$(BIN)/mutmut results

screenshots: $(READY) ## take the pictures of the documentation again (needs Chromium)
	$(BIN)/python -m rwt_assets_tests.browser.screenshots

clean: ## remove the environment and all local state
	rm -rf .venv .venv-oldest mutants "$(STATE)"

$(READY): pyproject.toml uv.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; set PYTHON=/path/to/it"; exit 1; }
	"$(PYTHON)" -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check "uv>=0.13,<1"
	$(UV_SYNC)
	@touch $@

$(DOCS_READY): $(READY)
	$(UV_SYNC) --group docs
	@touch $@

$(MUTANTS_READY): $(READY)
	$(UV_SYNC) --group mutants
	@touch $@
