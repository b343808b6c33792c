# Kafka to Search. `make` lists the targets; localstack/servers/README.md explains the local stack.

PYTHON := localstack/servers/python.sh
STACK := $(PYTHON) localstack/servers/stack.py
DEMO := $(PYTHON) localstack/servers/demo.py
CHECKS := $(STACK) run checks --
# Rust code that waits for servers is compiled only for the tests that have them.
LIVE := --package integration-tests --package event-producer --package kafka-poller --package kafka-to-search \
    --features integration-tests/live,event-producer/live,kafka-poller/live,kafka-poller/tls,kafka-to-search/live
# Workspaces of their own.
FUZZ := functions/event-pipeline/fuzz functions/record-formats/fuzz
OWN_WORKSPACES := $(FUZZ) tests/plain-handler
LIVE_TESTS := --lib --bins --test live
# The tests of TLS, credentials, provisioning and schemas need other servers than the rest.
SECURED := --servers opensearch,opensearch-secured,elasticsearch,elasticsearch-6,schema-registry,localstack \
    --instance secured

.DEFAULT_GOAL := help
.PHONY: help demo demo-down demo-clean produce search status replay conflicts provision build package start-packages deploy-local deploy-rules check-pipeline try test-pipeline simulate account plan test test-fast test-live test-console test-clusters test-policies test-search \
    test-secured test-schemas dashboards-preview soak soak-clusters fuzz mutate-faults mutate-cluster-faults lint lint-rust lint-python lint-shell lint-yaml lint-workflows lint-template lint-words expand format \
    bench bench-function bench-e2e bench-latency bench-index deploy-aws clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

## The local stack

demo: ## Start Kafka, OpenSearch and LocalStack, deploy, publish events, show the indexed documents: TOPICS=a.events,b.events; FORMATS=1 for Avro, Protobuf and JSON Schema too
	@$(DEMO) up $(if $(TOPICS),--topics '$(TOPICS)') $(if $(FORMATS),--formats)

demo-down: ## Stop everything that `make demo` started; the data stays
	@$(DEMO) down

demo-clean: ## Stop everything and remove the data
	@$(DEMO) clean

N ?= 3000
produce: ## Publish more events: N=10000, your own: FILE=events.ndjson TOPIC=order.events, or FORMAT=avro
	@$(DEMO) produce --count $(N) $(if $(FILE),--file '$(FILE)') $(if $(FORMAT),--format '$(FORMAT)') $(if $(TOPIC),--topic '$(TOPIC)')

Q ?= *
search: ## Search the indexed events: Q='service_name:order'
	@$(DEMO) search '$(Q)'

status: ## Show the running servers, their ports and their logs
	@$(STACK) status

replay: ## Replay dead letters: ARGS='--service order --dry-run' only shows what would be replayed; ARGS=--help
	@$(PYTHON) localstack/servers/replay.py $(ARGS)

conflicts: ## List events whose fields conflict, and the mapping that ends it; ARGS='--fix --all' fixes their documents; ARGS=--help
	@$(PYTHON) localstack/servers/conflicts.py $(ARGS)

provision: ## Apply or show the provisioned settings of the demo's cluster: ARGS='apply --dry-run'; ARGS=--help
	@$(PYTHON) localstack/servers/provision.py $(ARGS)

deploy-local: ## Rebuild the functions and deploy them to the running demo after a change
	@$(STACK) deploy

deploy-rules: ## Deploy other rules of topics to the running demo, without a build: PIPELINE=my.yaml
	@$(STACK) rules '$(or $(PIPELINE),localstack/servers/demo-pipeline.yaml)'

## Rules of topics

KAFKA_TO_SEARCH := cargo run --locked --quiet --package kafka-to-search --
RULES = $(if $(PIPELINE),--pipeline '$(PIPELINE)')

check-pipeline: ## Report every problem of infra/pipeline.yaml: PIPELINE=new.yaml
	@$(KAFKA_TO_SEARCH) check $(RULES)

try: ## Show what becomes of each line of a file, without a server: FILE=events.ndjson TOPIC=order.events PIPELINE=new.yaml
	@$(KAFKA_TO_SEARCH) try --file '$(or $(FILE),-)' --topic '$(or $(TOPIC),order.events)' $(RULES) $(ARGS)

test-pipeline: ## Run the cases in infra/pipeline-tests; UPDATE=1 writes what they expect
	@$(KAFKA_TO_SEARCH) test $(if $(UPDATE),--update) infra/pipeline-tests

simulate: ## Compare what a new file of rules would do with what is indexed: TOPIC=order.events SINCE=24h PIPELINE=new.yaml
	@$(PYTHON) localstack/servers/simulate.py --topic '$(or $(TOPIC),order.events)' --since '$(or $(SINCE),24h)' $(RULES) $(ARGS)

account: ## Show whether each record in Kafka has reached its place, and which are missing: SINCE=1h TOPIC=order.events; HEAL=1 gives missing ones to the function again
	@$(PYTHON) localstack/servers/account.py --since '$(or $(SINCE),1h)' $(if $(TOPIC),--topic '$(TOPIC)') $(RULES) \
	    $(if $(HEAL),--heal) $(ARGS)

plan: ## Show what a load needs and costs: RATE=20000 (events/s) BYTES=500 (a value); ARGS=--help
	@$(KAFKA_TO_SEARCH) plan --rate $(or $(RATE),1000) --bytes $(or $(BYTES),500) $(ARGS)

## Building and testing

build: ## Build everything for release
	cargo build --workspace --release --locked

ARCHITECTURES ?= x86_64 arm64
CARGO_CYCLONEDX := 0.5.9
package: ## Make the zips that infra/packaged.yaml deploys and one with kafka-to-search, with checksums and SBOMs: ARCHITECTURES=arm64 for one
	cargo cyclonedx --version >/dev/null 2>&1 || cargo install cargo-cyclonedx --locked --version $(CARGO_CYCLONEDX)
	$(STACK) run tools -- python infra/package.py $(ARCHITECTURES)

start-packages: ## Start each program of `make package`, another processor's under emulation, and give it an event: ARCHITECTURES=arm64 for one
	$(STACK) run tools -- python infra/start_packages.py $(ARCHITECTURES)

test: test-fast test-live ## Run all tests: the fast ones, then those on real servers

test-fast: ## Run unit, property and scenario tests
	cargo test --workspace --locked
	@$(MAKE) --no-print-directory check-pipeline test-pipeline
	$(CHECKS) pytest -q localstack/servers/tests --ignore=localstack/servers/tests/browser
	$(CHECKS) pytest -q infra/search/tests/files
	@$(MAKE) --no-print-directory test-policies

test-policies: ## Compare the template's policies with the requests that the functions' tests recorded
	$(STACK) run tools -- pytest -q -W ignore::DeprecationWarning infra/tests/test_iam.py infra/tests/test_policies.py infra/tests/test_account.py

test-live: ## Run the integration tests on a separate stack on free ports, which is stopped at the end
	@$(STACK) prerequisites --tests >/dev/null
	cargo test --locked $(LIVE) --no-run
	$(STACK) run localstack -- pytest -q localstack/extension/tests
	$(STACK) with --instance test -- cargo test --locked $(LIVE) $(LIVE_TESTS) -- --test-threads=1
	@$(MAKE) --no-print-directory test-secured
	@$(MAKE) --no-print-directory test-search
	@$(MAKE) --no-print-directory test-schemas
	@$(MAKE) --no-print-directory test-console

test-console: ## Run the tests of the console's page in Chromium on a separate stack: UPDATE_SCREENSHOT=1 takes README's picture
	$(STACK) with --instance console -- $(CHECKS) pytest -q localstack/servers/tests/browser

test-secured: ## Run the tests of TLS, credentials, provisioning and events of any shape on separate servers
	cargo test --locked $(LIVE) --test secured --no-run
	$(STACK) with $(SECURED) -- cargo test --locked $(LIVE) --test secured

test-search: ## Run the tests of infra/search's templates, roles, policies and monitors on separate servers
	$(STACK) with --servers opensearch,opensearch-secured,elasticsearch,elasticsearch-6 --instance search -- \
	    $(CHECKS) pytest -q infra/search/tests --ignore=infra/search/tests/files

dashboards-preview: ## Draw the dashboard with sample events into docs/images, on a separate server; ENDPOINT=http://… draws your cluster's
	$(if $(ENDPOINT),,$(STACK) with --servers opensearch --instance preview --) \
	    $(PYTHON) infra/search/dashboards/preview.py $(if $(ENDPOINT),--endpoint '$(ENDPOINT)' --folder .,--sample)

test-schemas: ## Run the tests of mappings with a schema registry on separate servers
	cargo test --locked $(LIVE) --test schemas --no-run
	$(STACK) with --servers kafka,opensearch,localstack,schema-registry --instance schemas -- \
	    cargo test --locked $(LIVE) --test schemas -- --test-threads=1

test-clusters: ## Run the fault tests on three brokers and three OpenSearch nodes on a separate stack
	cargo test --locked $(LIVE) --test clusters --no-run
	$(STACK) fetch poller
	$(STACK) with --servers kafka:3,opensearch:3,localstack --deploy --instance clusters -- \
	    cargo test --locked $(LIVE) --test clusters -- --test-threads=1

MINUTES ?= 10
soak: ## Inject random faults into a separate stack, and account for every event: MINUTES=10 SEED=20
	$(STACK) with --instance soak -- cargo run --locked --profile local --package integration-tests --features live \
	    --bin soak -- --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

soak-clusters: ## The same with three brokers and three OpenSearch nodes: MINUTES=60 SEED=20
	$(STACK) fetch poller
	$(STACK) with --servers kafka:3,opensearch:3,localstack --deploy --instance soak-clusters -- \
	    cargo run --locked --profile local --package integration-tests --features live \
	    --bin soak -- --clusters --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

# cargo-fuzz needs options of the compiler that are not stable; with RUSTC_BOOTSTRAP the stable one takes them.
FUZZ_TARGETS := $(wildcard $(addsuffix /fuzz_targets/$(or $(ONLY),*).rs,$(FUZZ)))
fuzz: ## Fuzz the pipeline and the record formats against other libraries: MINUTES=10, for all targets together; ONLY=document
	cargo fuzz --version 2>/dev/null || cargo install cargo-fuzz --locked --version 0.13.2
	set -e; for target in $(FUZZ_TARGETS); do \
	    name=$$(basename "$$target" .rs); cd "$(CURDIR)/$${target%/fuzz_targets/*}"; mkdir -p "target/corpus/$$name"; \
	    RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir . --sanitizer none "$$name" \
	        "target/corpus/$$name" "corpus/$$name" -- -max_len=4096 -timeout=10 -print_final_stats=1 \
	        -max_total_time=$$(( $(MINUTES) * 60 / $(words $(FUZZ_TARGETS)) )); \
	done

mutate-faults: ## Remove each protection from a copy of the tree, and check that its tests fail (an hour): ONLY=kafka_faults
	$(STACK) with --instance faults -- cargo run --locked --package integration-tests --bin mutate-faults -- \
	    $(if $(ONLY),--only '$(ONLY)')

mutate-cluster-faults: ## The same with the tests on three brokers and three OpenSearch nodes: ONLY=search_nodes
	$(STACK) fetch poller
	$(STACK) with --servers kafka:3,opensearch:3,localstack --deploy --instance cluster-faults -- \
	    cargo run --locked --package integration-tests --bin mutate-faults -- --clusters $(if $(ONLY),--only '$(ONLY)')

lint: lint-rust lint-python lint-shell lint-yaml lint-workflows lint-template lint-words ## Check formatting and lints of every language

lint-rust: ## Check Rust: formatting and clippy
	cargo fmt --all --check
	for folder in $(OWN_WORKSPACES); do cargo fmt --manifest-path "$$folder/Cargo.toml" --check || exit 1; done
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --all-targets --locked $(LIVE) -- -D warnings

lint-python: ## Check Python: ruff
	$(CHECKS) ruff check .
	$(CHECKS) ruff format --check localstack/servers infra/assemble.py infra/expand.py infra/package.py infra/release.py infra/start_packages.py infra/tests

lint-shell: ## Check shell scripts: shellcheck
	$(CHECKS) shellcheck $$(git ls-files '*.sh' ':!infra/kubernetes') .ci/run

lint-yaml: ## Check YAML: yamllint
	$(CHECKS) yamllint --strict $$(git ls-files '*.yaml' '*.yml' ':!infra/kubernetes')

# actionlint is built once from the Go module proxy. It checks the scripts of the workflows with shellcheck.
ACTIONLINT_VERSION := $(shell sed -n '/^\[actionlint\]/,/^\[/s/^version = "\(.*\)"/\1/p' localstack/servers/versions.toml)
ACTIONLINT := $(or $(KAFKA_TO_SEARCH_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kafka-to-search)/actionlint-$(ACTIONLINT_VERSION)
lint-workflows: $(ACTIONLINT)/actionlint ## Check the workflows of GitHub: actionlint
	$(CHECKS) $(ACTIONLINT)/actionlint

$(ACTIONLINT)/actionlint:
	GOBIN=$(ACTIONLINT) $(STACK) run go -- go install github.com/rhysd/actionlint/cmd/actionlint@v$(ACTIONLINT_VERSION)

# cfn-lint knows &{Topic} in names but not in references, so it reads the expanded template.
lint-template: ## Check the template: sam validate, cfn-lint, checkov, and its evaluation for every combination of parameters
	$(STACK) exec -- sam validate --template-file infra/template.yaml --language-extensions
	$(STACK) exec -- sam validate --template-file infra/packaged.yaml --language-extensions
	$(STACK) exec -- sam validate --template-file infra/expanded.yaml --lint
	$(STACK) exec -- sam validate --template-file infra/account.yaml --language-extensions
	$(CHECKS) cfn-lint infra/expanded.yaml infra/monitoring.yaml infra/account.yaml
	$(STACK) run checkov -- checkov --config-file infra/checkov.yaml -f infra/expanded.yaml -f infra/monitoring.yaml -f infra/account.yaml
	$(STACK) run tools -- pytest -q -W ignore::DeprecationWarning infra/tests

lint-words: ## Check that prose uses the field's words: report, fix, response, stats, event
	@! git grep -nwiE '(tell|tells|telling|told|mend|mends|mended|answer|answers|answered|answering|reply|replies|effort|envelope)' \
	    -- ':!Makefile' ':!Cargo.lock' ':!*/Cargo.lock' ':!*/go.sum' ':!LICENSE' ':!tests/fixtures' ':!*/corpus/*'

expand: ## Write infra/template.yaml, expanded.yaml and packaged.yaml again after a change in infra/template
	$(PYTHON) infra/assemble.py > infra/template.yaml.new && mv infra/template.yaml.new infra/template.yaml
	$(PYTHON) infra/expand.py > infra/expanded.yaml.new && mv infra/expanded.yaml.new infra/expanded.yaml
	$(PYTHON) infra/expand.py --packaged > infra/packaged.yaml.new && mv infra/packaged.yaml.new infra/packaged.yaml

format: ## Format Rust and Python code
	cargo fmt --all
	for folder in $(OWN_WORKSPACES); do cargo fmt --manifest-path "$$folder/Cargo.toml" || exit 1; done
	$(CHECKS) ruff format localstack/servers infra/assemble.py infra/expand.py infra/package.py infra/release.py infra/start_packages.py infra/tests

## Measuring

bench: ## Compare the pipeline, and Avro and Protobuf, with the obvious implementations, and measure transforms (criterion)
	cargo bench --package event-pipeline --package record-formats --package vrl-transform

bench-function: ## Measure the whole function, beside a plain handler: CPU per million events, memory, size, start time
	cargo build --release --locked --package index-events
	cargo build --release --locked --manifest-path tests/plain-handler/Cargo.toml --target-dir "$${CARGO_TARGET_DIR:-target}"
	cargo run --release --package integration-tests --bin bench-function

bench-e2e: ## Compare indexing through the function with prebuilt bulk bodies, on real servers
	STACK_OPENSEARCH_C2=1 STACK_FUNCTIONS_LTO=1 $(STACK) with --instance bench -- \
	    cargo run --profile local --package integration-tests --features live --bin bench-e2e

bench-latency: ## Measure the time from publication to searchable, for each preset and rate, on real servers: ARGS='--presets latency --rates 100'
	STACK_OPENSEARCH_C2=1 STACK_FUNCTIONS_LTO=1 $(STACK) with --instance bench -- \
	    cargo run --profile local --package integration-tests --features live --bin bench-latency -- $(ARGS)

bench-index: ## Compare the index template with dynamic mapping: rate, bytes per event, queries
	STACK_OPENSEARCH_C2=1 $(STACK) with --instance bench --servers opensearch -- \
	    cargo run --profile local --package integration-tests --features live --bin bench-index

## Elsewhere

deploy-aws: ## Show how to deploy to AWS
	@echo 'cd infra && sam build && sam deploy --guided    (docs/DEPLOYING.md describes each step)'

clean: ## Remove the build results; the cache of downloads and the demo's data stay
	cargo clean
	rm -rf .aws-sam

## The in-cluster stack

ifneq ($(wildcard infra/kubernetes/kubernetes.mk),)
include infra/kubernetes/kubernetes.mk
lint: lint-kubernetes
test-fast: test-kubernetes
endif
