# Kafka to Search. `make` lists what can be done; localstack/servers/README.md tells how the local stack works.

PYTHON := localstack/servers/python.sh
STACK := $(PYTHON) localstack/servers/stack.py
DEMO := $(PYTHON) localstack/servers/demo.py
CHECKS := $(STACK) run checks --
# Rust code that waits for servers is compiled only for the tests that have them.
LIVE := --package integration-tests --package event-producer --package kafka-poller \
    --features integration-tests/live,event-producer/live,kafka-poller/live,kafka-poller/tls
# Those of TLS, credentials and provisioning have other servers than the rest.
LIVE_TESTS := --lib --bins --test live
SECURED := --servers opensearch-secured,elasticsearch,elasticsearch-6,localstack --instance secured

.DEFAULT_GOAL := help
.PHONY: help demo demo-down demo-clean produce search status replay provision build deploy-local test test-fast test-live test-search \
    test-secured soak mutate-faults lint lint-rust lint-python lint-shell lint-yaml lint-template format \
    bench bench-function bench-e2e bench-index deploy-aws clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

## The local stack

demo: ## Start Kafka, OpenSearch and LocalStack, deploy, publish events, show them indexed
	@$(DEMO) up

demo-down: ## Stop all that `make demo` started; the data stays
	@$(DEMO) down

demo-clean: ## Stop it and remove its data
	@$(DEMO) clean

N ?= 3000
produce: ## Publish more events: N=10000, or your own: FILE=events.ndjson TOPIC=order.events
	@$(DEMO) produce --count $(N) $(if $(FILE),--file '$(FILE)') $(if $(TOPIC),--topic '$(TOPIC)')

Q ?= *
search: ## Search the indexed events: Q='service_name:order'
	@$(DEMO) search '$(Q)'

status: ## Show what runs, on which ports, with which logs
	@$(STACK) status

replay: ## Replay dead letters: ARGS='--service order --dry-run' shows what would be done; ARGS=--help
	@$(PYTHON) localstack/servers/replay.py $(ARGS)

provision: ## Apply or show what the demo's cluster holds: ARGS='apply --dry-run'; ARGS=--help
	@$(PYTHON) localstack/servers/provision.py $(ARGS)

deploy-local: ## Build the functions and deploy them to the running demo again, after a change
	@$(STACK) deploy

## Building and testing

build: ## Build everything for release
	cargo build --workspace --release --locked

test: test-fast test-live ## Run all tests: the fast ones, then those on real servers

test-fast: ## Run unit, property and scenario tests
	cargo test --workspace --locked
	$(CHECKS) pytest -q localstack/servers/tests
	$(CHECKS) pytest -q infra/search/tests/files

test-live: ## Run the integration tests on a stack of their own, on free ports, stopped in the end
	@$(STACK) prerequisites --tests >/dev/null
	cargo test --locked $(LIVE) --no-run
	$(STACK) run localstack -- pytest -q localstack/extension/tests
	$(STACK) with --instance test -- cargo test --locked $(LIVE) $(LIVE_TESTS) -- --test-threads=1
	@$(MAKE) --no-print-directory test-secured
	@$(MAKE) --no-print-directory test-search

test-secured: ## Run the tests of TLS, credentials and provisioning on secured servers of their own
	cargo test --locked $(LIVE) --test secured --no-run
	$(STACK) with $(SECURED) -- cargo test --locked $(LIVE) --test secured

test-search: ## Run the tests of infra/search's templates, roles, policies and monitors on servers of their own
	$(STACK) with --servers opensearch,opensearch-secured,elasticsearch-6 --instance search -- \
	    $(CHECKS) pytest -q infra/search/tests --ignore=infra/search/tests/files

MINUTES ?= 10
soak: ## Strike a stack of its own with random faults, and account for every event: MINUTES=10 SEED=20
	$(STACK) with --instance soak -- cargo run --locked --profile local --package integration-tests --features live \
	    --bin soak -- --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

mutate-faults: ## Take each protection out of a copy of the tree, and see its tests fail (an hour): ONLY=kafka_faults
	$(STACK) with --instance faults -- cargo run --locked --package integration-tests --bin mutate-faults -- \
	    $(if $(ONLY),--only '$(ONLY)')

lint: lint-rust lint-python lint-shell lint-yaml lint-template ## Check formatting and lints of every language

lint-rust: ## Check Rust: formatting and clippy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --all-targets --locked $(LIVE) -- -D warnings

lint-python: ## Check Python: ruff
	$(CHECKS) ruff check .
	$(CHECKS) ruff format --check localstack/servers

lint-shell: ## Check shell scripts: shellcheck
	$(CHECKS) shellcheck $$(git ls-files '*.sh' ':!infra/kubernetes') .ci/run

lint-yaml: ## Check YAML: yamllint
	$(CHECKS) yamllint --strict $$(git ls-files '*.yaml' '*.yml' ':!infra/kubernetes')

lint-template: ## Check the template: sam validate and cfn-lint
	$(STACK) exec -- sam validate --lint --template-file infra/template.yaml
	$(STACK) exec -- sam validate --template-file infra/template.yaml
	$(CHECKS) cfn-lint infra/template.yaml

format: ## Format Rust and Python code
	cargo fmt --all
	$(CHECKS) ruff format localstack/servers

## Measuring

bench: ## Measure the pipeline beside the obvious implementation (criterion)
	cargo bench --package event-pipeline

bench-function: ## Measure the whole function: CPU per million events, memory, size, start
	cargo build --release --locked --package index-events
	cargo run --release --package integration-tests --bin bench-function

bench-e2e: ## Measure indexing through the function beside prebuilt bulk bodies, on real servers
	STACK_OPENSEARCH_C2=1 STACK_FUNCTIONS_LTO=1 $(STACK) with --instance bench -- \
	    cargo run --profile local --package integration-tests --features live --bin bench-e2e

bench-index: ## Measure the index template beside dynamic mapping: rate, bytes per event, questions
	STACK_OPENSEARCH_C2=1 $(STACK) with --instance bench --servers opensearch -- \
	    cargo run --profile local --package integration-tests --features live --bin bench-index

## Elsewhere

deploy-aws: ## Tell how to deploy to AWS
	@echo 'cd infra && sam build && sam deploy --guided    (README.md, "Deploying to AWS", goes through it step by step)'

clean: ## Remove what was built; the cache of downloads and the demo's data stay
	cargo clean
	rm -rf .aws-sam

## The in-cluster stack

ifneq ($(wildcard infra/kubernetes/kubernetes.mk),)
include infra/kubernetes/kubernetes.mk
lint: lint-kubernetes
test-fast: test-kubernetes
endif
