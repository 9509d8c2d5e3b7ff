# Every verb of the project. `make` alone lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test walk serve lint bench client fuzz lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

.venv/ready: requirements/all.lock requirements/build.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
		|| { echo "mien: needs Python 3.11, 3.12 or 3.13; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up .venv with pinned dependencies (about 1.2 GB, once)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --require-hashes --only-binary=:all: -r requirements/build.lock
	@$(BIN)/python -m pip install -qq --require-hashes --no-build-isolation --only-binary=:all: --no-binary=srt -r requirements/all.lock
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: weights
weights: .venv/ready
	@$(BIN)/mien weights fetch

setup: .venv/ready weights ## environment in .venv and the model weights; what all other targets need

demo: setup ## the whole story on a simulated person; results in out/demo
	@$(BIN)/mien demo --out out/demo

test: setup ## all tests, with real weights, PostgreSQL and HTTP
	@TESTS_MUST_RUN=1 $(BIN)/python -m pytest -m "not alone and not walk" -n 3 --dist=loadfile --no-loadscope-reorder
	@TESTS_MUST_RUN=1 $(BIN)/python -m pytest -m alone

walk: setup ## from the address that is printed to a clip taken back, in a browser, with a clock; out/walk.json and out/walk
	@TESTS_MUST_RUN=1 $(BIN)/python -m pytest -m walk

serve: setup ## the service on http://127.0.0.1:8000 with its worker and its own PostgreSQL
	@exec $(BIN)/mien serve

lint: .venv/ready ## style, types and import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

# How many takes of each kind; `make bench TAKES=150 ATTEMPTS=150 REPORT=docs/pad-report.md` is the full run, of hours.
TAKES := 10
ATTEMPTS := 10
REPORT :=
# How many events audit searches go over; `make bench EVENTS=1000000` needs some ten minutes and 4 GB for that part.
EVENTS := 100000
# How many people want to be told of look-alikes; `make bench ALIKE=1000000` needs some minutes and 4 GB for that part.
ALIKE := 100000
# How many people questions to the gate are about.
PEOPLE := 10000
bench: setup ## speed, and how well attacks are withstood: out/bench*.json, out/pad.json and pictures in out/pad
	@$(BIN)/python -m lab.bench --out out/bench.json
	@$(BIN)/python -m lab.films --weights var/weights --out out/bench-films.json
	@$(BIN)/python -m benchmarks.log --json out/bench-log.json
	@$(BIN)/python -m benchmarks.status_list --json out/bench-status-list.json
	@$(BIN)/python -m benchmarks.audit_search $(EVENTS) --json out/bench-audit-search.json
	@$(BIN)/python -m benchmarks.workers --json out/bench-workers.json
	@$(BIN)/python -m benchmarks.pages --json out/bench-pages.json
	@$(BIN)/python -m benchmarks.output_check --json out/bench-output-check.json
	@$(BIN)/python -m benchmarks.look_alikes $(ALIKE) --json out/bench-look-alikes.json
	@$(BIN)/python -m benchmarks.withdrawal --revocations 200 --json out/bench-withdrawal.json
	@$(BIN)/python -m benchmarks.gate $(PEOPLE) --json out/bench-gate.json
	@$(BIN)/python -m benchmarks.outputs --json out/bench-outputs.json
	@$(BIN)/mien corpus out/corpus --genuine $(TAKES) --attempts $(ATTEMPTS) --path standard,small_turns,no_speech
	@$(BIN)/mien evaluate out/corpus --policy simulated --json out/pad.json \
		--plots $(or $(basename $(REPORT)),out/pad) --report $(or $(REPORT),out/pad.md)

client: .venv/ready ## write the types of clients/typescript anew from the OpenAPI document
	@$(BIN)/python -m clients.generate > clients/typescript/src/api.ts.new && mv clients/typescript/src/api.ts.new clients/typescript/src/api.ts

fuzz: setup ## 10,000 damaged media files through the decoder; 300 orders of events through the whole service
	@FUZZ_FILES=10000 $(BIN)/python -m pytest tests/liveness/test_decode_fuzz.py -q -s
	@ORDERS=300 $(BIN)/python -m pytest tests/api/test_orders.py -q

PIN := uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url -q
lock: ## pin again what pyproject.toml asks for (needs uv)
	@$(PIN) requirements/build.in -o requirements/build.lock
	@$(PIN) pyproject.toml --extra simulate --extra dev -o requirements/all.lock
	@$(PIN) pyproject.toml -c requirements/all.lock -o requirements/service.lock

clean: ## remove what was built; var/ (weights, database, keys) stays
	@rm -rf .venv out
