#!/usr/bin/env bash
# Checks a deployed stack. Prints PASS or FAIL for each check, and exits with 1 if any check fails.
set -uo pipefail

kubernetes=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
    cat <<'END'
Usage: verify.sh [OPTION ...]

  --overlay NAME      the deployed overlay: dev (default) or production
  --namespace NAME    the namespace (default demo-micro)
  --send-event        publish an event to order.events and wait until a search finds it
  --measure           instead of the checks: publish a load, and print rate, latency, lag, CPU and memory (needs python3)
  --events NUMBER     events of the load (default 20000)
  --rate NUMBER       events a second (default 500)
  --out FILE          write the result as JSON
  --compare FILE      show an earlier result next to it
  --publish COMMAND   measure a local stack: what publishes each line of its input to order.events
  --lag COMMAND       ... what prints the lag
  --search-url URL    ... where to search
  --path NAME         ... what writes there (default functions)
  --help              print this text
END
}

overlay=dev
namespace=demo-micro
send_event=no
measure=no
load=()
while [ $# -gt 0 ]; do
    case $1 in
    --overlay) overlay=${2:?"--overlay needs a name: dev or production"} && shift ;;
    --namespace) namespace=${2:?"--namespace needs a name"} && shift ;;
    --send-event) send_event=yes ;;
    --measure) measure=yes ;;
    --events | --rate | --out | --compare | --publish | --lag | --search-url | --path) load+=("$1" "${2:?"$1 needs a value"}") && shift ;;
    --help) usage && exit 0 ;;
    *) usage >&2 && echo "verify.sh: unknown option $1" >&2 && exit 2 ;;
    esac
    shift
done
if [ ! -f "$kubernetes/overlays/$overlay/kustomization.yaml" ]; then
    echo "verify.sh: unknown overlay $overlay: use dev or production" >&2 && exit 2
fi
source="$kubernetes/overlays/$overlay"
if [ "$namespace" != demo-micro ]; then
    source="$kubernetes/overlays/namespace-$namespace"
    mkdir -p "$source"
    printf 'resources: [../%s]\nnamespace: %s\n' "$overlay" "$namespace" >"$source/kustomization.yaml"
fi

if [ "$measure" = yes ]; then
    exec python3 -B "$kubernetes/scripts/measure.py" --namespace "$namespace" ${load[@]+"${load[@]}"}
fi

failed=0
check() { # what, hint, command ...
    local what=$1 hint=$2 output
    shift 2
    if output=$("$@" 2>&1); then
        echo "PASS  $what"
    else
        failed=$((failed + 1))
        echo "FAIL  $what"
        [ -z "$output" ] || printf '%s\n' "$output" | tail -n 5 | sed 's/^/      /'
        echo "      $hint"
    fi
}

on() { # pod, command ...
    local pod=$1
    shift
    kubectl --namespace "$namespace" exec "$pod" -- "$@"
}

elasticsearch() { # path, JSON body
    # The password stays in the environment of the pod.
    # shellcheck disable=SC2016
    on elasticsearch-0 sh -c '
        url=http://localhost:9200
        set -- "$1" "$2" --silent --show-error --fail --user "elastic:$ELASTIC_PASSWORD"
        if [ -f config/certificates/ca.crt ]; then
            url=https://localhost:9200
            set -- "$@" --cacert config/certificates/ca.crt
        fi
        path=$1 body=$2
        shift 2
        if [ -n "$body" ]; then
            set -- "$@" --header "Content-Type: application/json" --data "$body"
        fi
        curl "$@" "$url$path"' sh "$1" "${2:-}"
}

logstash_pods() {
    kubectl --namespace "$namespace" get pods -l app.kubernetes.io/name=logstash -o 'jsonpath={.items[*].metadata.name}'
}

# Each of Logstash's pods in turn: which partitions and so which events one has is chance.
logstash() { # path
    local pods pod
    pods=$(logstash_pods) || return 1
    [ -n "$pods" ] || { echo "there is no pod of Logstash" && return 1; }
    for pod in $pods; do
        echo "$pod $(on "$pod" curl --silent --show-error --fail "http://localhost:9600$1")" || return 1
    done
}

kafka() { # tool, arguments ...
    local tool=$1
    shift
    on kafka-0 "/opt/kafka/bin/$tool" --bootstrap-server kafka:29092 --command-config /run/kafka/client.properties "$@"
}

ready() { # name
    kubectl --namespace "$namespace" wait --for=condition=ready pod -l "app.kubernetes.io/name=$1" --timeout=10s
}

config_map_is_the_file() {
    kubectl diff -k "$source" -l kafka-to-search/step=logstash-config
}

init_containers_completed() {
    local reasons
    reasons=$(kubectl --namespace "$namespace" get pods -l app.kubernetes.io/name=logstash \
        -o 'jsonpath={range .items[*]}{.metadata.name}{range .status.initContainerStatuses[*]} {.name}={.state.terminated.reason}{end}{"\n"}{end}') || return 1
    echo "$reasons"
    [ -n "$reasons" ] && ! echo "$reasons" | grep -Evq '^[^ ]+( [^ ]+=Completed){2}$'
}

pipelines_run() {
    local reports
    reports=$(logstash /_health_report) || return 1
    # The rest of a report is long.
    echo "$reports" | sed -E 's/^([^ ]+) .*"symptom":"([^"]*)".*/\1 \2/'
    ! echo "$reports" | grep -Evq '("state":"RUNNING".*){2}'
}

# What Elasticsearch rejected twice stays in the queue of the pipeline dead-letters; an empty one has a byte or a few. What a
# full queue did not take is lost.
no_dead_letter_is_stuck() {
    local main dead_letters
    main=$(logstash /_node/stats/pipelines/main) && dead_letters=$(logstash /_node/stats/pipelines/dead-letters) || return 1
    printf '%s\n' "$main" "$dead_letters" | sed -E 's/^([^ ]+) .*"dead_letter_queue":\{([^}]*)\}.*/\1 \2/'
    ! echo "$dead_letters" | grep -Evq '"queue_size_in_bytes":[0-9]{1,2}[,}]' &&
        ! printf '%s\n' "$main" "$dead_letters" | grep -Eq '"dropped_events":[1-9]'
}

# Of the certificates that the servers have; certificate-renewal renews those of the stack's own authority 60 days before.
certificates_last() {
    local name days=30 status=0
    for name in kafka elasticsearch logstash kibana redis log-shipper; do
        kubectl --namespace "$namespace" get secret "certificates-$name" -o 'jsonpath={.data.tls\.crt}' |
            base64 --decode | openssl x509 -noout -checkend $((days * 86400)) >/dev/null && continue
        echo "certificates-$name has no certificate that lasts $days days"
        status=1
    done
    return $status
}

group_is_active() {
    local state
    state=$(kafka kafka-consumer-groups.sh --describe --state --group logstash-consumer-group) || return 1
    echo "$state"
    echo "$state" | grep -q Stable
}

replicas_in_sync() {
    local behind
    behind=$(kafka kafka-topics.sh --describe --under-replicated-partitions) || return 1
    echo "$behind"
    [ -z "$(echo "$behind" | tr -d '[:space:]')" ]
}

# The output counters of all pods: documents that Elasticsearch indexed or already had.
written_to_elasticsearch() {
    local documents
    documents=$(logstash /_node/stats/pipelines/main) || return 1
    documents=$(echo "$documents" | grep -o '"documents":{[^}]*}')
    echo "$documents"
    echo "$documents" | grep -Eq '"(successes|non_retryable_failures)":[1-9]'
}

cluster_is_healthy() {
    local health
    health=$(elasticsearch '/_cluster/health?filter_path=status,number_of_nodes') || return 1
    echo "$health"
    echo "$health" | grep -Eq '"status":"(green|yellow)"'
}

cluster_is_provisioned() {
    local template
    template=$(elasticsearch '/_index_template/microservices?filter_path=index_templates.index_template.composed_of') || return 1
    echo "$template"
    echo "$template" | grep -q '"microservices-mappings"'
}

indices_exist() {
    local indices
    indices=$(elasticsearch '/_cat/indices/microservices-*?h=index,docs.count') || return 1
    echo "$indices"
    echo "$indices" | grep -q '^microservices-'
}

documents_have_metadata() {
    local documents
    documents=$(elasticsearch '/microservices-*/_search?size=1&filter_path=hits.hits' \
        '{"query":{"bool":{"filter":[{"exists":{"field":"kafka_offset"}},{"exists":{"field":"kafka_partition"}},{"exists":{"field":"service_name"}},{"term":{"platform":"demo-micro"}}]}}}') || return 1
    echo "$documents"
    echo "$documents" | grep -q '"_id"'
}

event_arrives() {
    local id="verify-$$-$RANDOM" deadline=$((SECONDS + 120))
    # The producer reads the event from standard input.
    printf '{"orderId":"%s","source":"verify.sh"}\n' "$id" |
        kubectl --namespace "$namespace" exec --stdin kafka-0 -- /opt/kafka/bin/kafka-console-producer.sh \
            --bootstrap-server kafka:29092 --command-config /run/kafka/client.properties --topic order.events || return 1
    while [ $SECONDS -lt $deadline ]; do
        if elasticsearch '/microservices-*/_search?filter_path=hits.hits._id' \
            "{\"query\":{\"match_phrase\":{\"orderId\":\"$id\"}}}" | grep -q '"_id"'; then
            return 0
        fi
        sleep 2
    done
    echo "event $id was published but not found within 120 s"
    return 1
}

logs="kubectl --namespace $namespace logs"
check "Logstash's ConfigMap matches this folder" "run deploy.sh --elk to apply it" config_map_is_the_file
check "Kafka's pods are ready" "$logs kafka-0" ready kafka
check "Kafka's replicas are in sync" "$logs kafka-0" replicas_in_sync
check "Elasticsearch's pods are ready" "$logs elasticsearch-0" ready elasticsearch
check "Elasticsearch is healthy" "$logs elasticsearch-0" cluster_is_healthy
check "Elasticsearch is provisioned" "$logs job/provision-cluster --all-containers" cluster_is_provisioned
check "Logstash's init containers have completed" "$logs logstash-0 -c wait-for-kafka" init_containers_completed
check "Logstash's pods are ready" "$logs logstash-0" ready logstash
check "Logstash runs its pipelines" "$logs logstash-0" pipelines_run
check "No dead letter was rejected" "see 'A dead letter that Elasticsearch rejects' in docs/KAFKA-ELK-INTEGRATION.md" no_dead_letter_is_stuck
check "Certificates last" "$logs -l app.kubernetes.io/name=certificate-renewal" certificates_last
check "Kibana's pods are ready" "$logs deployment/kibana" ready kibana
check "Logstash's consumer group is active" "$logs logstash-0" group_is_active
if [ "$send_event" = yes ]; then
    check "A published event can be found" "$logs logstash-0" event_arrives
fi
check "Logstash has written to Elasticsearch" "nothing published yet? run verify.sh --send-event to publish an event" written_to_elasticsearch
check "Daily indices exist" "nothing published yet? run verify.sh --send-event to publish an event" indices_exist
check "Documents have Kafka's metadata" "nothing published yet? run verify.sh --send-event to publish an event" documents_have_metadata

echo
if [ $failed -gt 0 ]; then
    echo "$failed checks failed"
    exit 1
fi
echo "all checks passed"
