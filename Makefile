.DEFAULT_GOAL := help
.PHONY: help setup demo test test-full simulate chaos fuzz fuzz-http up down lint docs bench bench-backfill bench-bucket bench-http bench-jobs bench-listing bench-long bench-sound bench-load bench-plans bench-webhooks lock clean sbom audit

PYTHON ?= python3
SEED ?= 1
# pip compiles on one core; without compiling at all every command takes 2 s longer where bytecode is not written.
PIP_INSTALL := install --quiet --disable-pip-version-check --no-compile
COMPILE := -m compileall -q -j 0
RUN := .venv/.run-installed
DEV := .venv/.dev-installed
SOUND := .venv/.sound-installed
S3 := .venv-ministack/.installed
AUDIT := .venv-audit/.installed

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 16

setup: $(RUN) $(S3)  ## install all that `memoline up` needs into .venv (and .venv-ministack)

demo: setup  ## send ten recordings through all three doors of an embedded stack
	@.venv/bin/python -m infra.local.demo .memoline-demo

test: $(DEV) $(S3)  ## run all tests but the slow tier
	.venv/bin/python -m pytest -m "not slow" -n logical --maxprocesses 4 --dist loadfile

test-full: $(DEV) $(S3)  ## run the slow tier
	.venv/bin/python -m pytest -m slow

JOBS ?= 1000
FAULTS ?= 120
CHATS ?= 20
SYSTEMS ?= sqlite,postgresql,naive
chaos: $(DEV) $(S3)  ## JOBS jobs in CHATS chats under FAULTS faults of every kind on real processes, beside the naive worker
	.venv/bin/python -m tests.chaos --jobs $(JOBS) --faults $(FAULTS) --seed $(SEED) --chats $(CHATS) --systems $(SYSTEMS)

STEPS ?= 1000000
simulate: $(DEV)  ## play the protocol against a simulated world from seed SEED on, STEPS steps in all
	.venv/bin/python -m tests.simulate --seed $(SEED) --steps $(STEPS)

CASES ?= 10000
FIRST ?= 0
fuzz: $(DEV)  ## send forged recordings through the audio step: CASES of them of seed SEED, from FIRST on
	nice -n 10 .venv/bin/python -m tests.fuzz --seed $(SEED) --cases $(CASES) --first $(FIRST)

HTTP_CASES ?= 5000
fuzz-http: $(DEV) $(S3)  ## send HTTP_CASES requests, right and wrong ones, to the HTTP door (schemathesis)
	nice -n 10 .venv/bin/python -m tests.fuzz.http --seed $(SEED) --cases $(HTTP_CASES)

bench-http: $(DEV) $(S3)  ## requests a second of the HTTP door, beside a page that does nothing; and jobs a second of enqueue
	.venv/bin/python -m tests.bench.http

up: setup  ## start the embedded stack
	@.venv/bin/memoline up

down:  ## stop what `up` started
	@test ! -x .venv/bin/memoline || .venv/bin/memoline down

lint: $(DEV)  ## ruff and mypy
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

docs: $(DEV)  ## the pages of docs/ as a site in build/site, with nothing loaded from elsewhere
	NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --quiet --strict -f infra/site/mkdocs.yml
	@echo "open build/site/index.html"

bench-jobs: $(DEV) $(S3)  ## whole jobs a second and their CPU beside the naive worker, in interleaved rounds
	.venv/bin/python -m tests.bench.jobs

bench-backfill: $(DEV) $(S3)  ## rows a second and memory of a backfill, and what live memos wait beside one
	.venv/bin/python -m tests.bench.backfill

bench: $(DEV)  ## ratios against a naive pipeline, measured in one run
	.venv/bin/python -m tests.bench

bench-bucket: $(DEV) $(S3)  ## 1,000 dropped recordings, bad events, kill -9 of the watcher
	.venv/bin/python -m tests.bench.bucket --seed $(SEED)

bench-listing: $(DEV)  ## what a listing of an inbox of 100,000 objects costs
	.venv/bin/python -m tests.bench.listing

bench-long: $(DEV)  ## the same for recordings of 60 minutes; takes long
	.venv/bin/python -m tests.bench --long

bench-sound: $(DEV) $(SOUND)  ## PESQ and STOI of each bitrate (PESQ needs a C compiler)
	.venv/bin/python -m tests.bench.sound

bench-webhooks: $(DEV)  ## webhooks at 200 and 1,000 a second, SQLite and PostgreSQL, with kill -9
	.venv/bin/python -m tests.bench.webhooks

LOAD ?= 10000
bench-load: $(DEV) $(S3)  ## LOAD jobs that pass through, over the whole stack, SQLite and PostgreSQL side by side
	LOAD=$(LOAD) .venv/bin/python -m tests.bench.load

bench-plans: $(DEV)  ## the sweeper's and listings' queries over up to 1,000,000 finished jobs, SQLite and PostgreSQL
	.venv/bin/python -m tests.bench.plans

# What a release runs on, and under which licences.
sbom: $(RUN) $(AUDIT)  ## build/sbom.cdx.json (CycloneDX) and build/licences.md of what is installed to run
	@mkdir -p build
	@.venv-audit/bin/cyclonedx-py requirements requirements/run.txt --pyproject pyproject.toml --output-reproducible --of JSON -o build/sbom.cdx.json 2>/dev/null
	@.venv-audit/bin/pip-licenses --python .venv/bin/python --from=mixed --order=name --with-urls --format=markdown \
		--packages $$(sed -E 's/[=<> ;].*//' requirements/run.txt) --output-file build/licences.md >/dev/null
	@echo "build/sbom.cdx.json build/licences.md"

# Strict: where the data on vulnerabilities cannot be reached, nothing was audited, and that is no success.
audit: $(AUDIT)  ## ask for known vulnerabilities of what is installed to run
	.venv-audit/bin/pip-audit --strict --no-deps --disable-pip -r requirements/run.txt

lock: $(DEV)  ## resolve the locked versions anew
	.venv/bin/python -m pip $(PIP_INSTALL) uv
	.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate --extra local --extra png --extra postgresql pyproject.toml -o requirements/run.txt
	.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate -c requirements/run.txt requirements/dev.in -o requirements/dev.txt
	.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate requirements/ministack.in -o requirements/ministack.txt
	.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate requirements/sound.in -o requirements/sound.txt
	.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate requirements/audit.in -o requirements/audit.txt

clean: down  ## remove what was installed and made, not the recordings you sent
	rm -rf .venv .venv-ministack .venv-audit .memoline-demo build *.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv

$(RUN): .venv/bin/python requirements/run.txt pyproject.toml
	.venv/bin/python -m pip $(PIP_INSTALL) -r requirements/run.txt
	.venv/bin/python -m pip $(PIP_INSTALL) --no-deps --editable .
	.venv/bin/python $(COMPILE) .venv/lib pipeline workers infra
	@touch $@

$(DEV): $(RUN) requirements/dev.txt
	.venv/bin/python -m pip $(PIP_INSTALL) -r requirements/dev.txt
	.venv/bin/python $(COMPILE) .venv/lib
	@touch $@

$(SOUND): $(DEV) requirements/sound.txt
	.venv/bin/python -m pip $(PIP_INSTALL) -r requirements/sound.txt
	@touch $@

$(AUDIT): requirements/audit.txt
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip $(PIP_INSTALL) -r requirements/audit.txt
	@touch $@

$(S3): requirements/ministack.txt
	$(PYTHON) -m venv .venv-ministack
	.venv-ministack/bin/python -m pip $(PIP_INSTALL) -r requirements/ministack.txt
	.venv-ministack/bin/python $(COMPILE) .venv-ministack/lib
	@touch $@
