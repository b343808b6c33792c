#!/usr/bin/env bash
# Removes the stack from the cluster. Keeps volumes and secrets unless --delete-data is given.
set -euo pipefail

kubernetes=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
    cat <<'END'
Usage: undeploy.sh [OPTION ...]

  --overlay NAME      the deployed overlay: dev (default) or production
  --namespace NAME    the namespace (default demo-micro)
  --delete-data       also delete the volumes, the secrets and the namespace, with every event and password
  --dry-run           print the commands without running them
  --help              print this text
END
}

overlay=dev
namespace=demo-micro
delete_data=no
dry_run=no
while [ $# -gt 0 ]; do
    case $1 in
    --overlay) overlay=${2:?"--overlay needs a name: dev or production"} && shift ;;
    --namespace) namespace=${2:?"--namespace needs a name"} && shift ;;
    --delete-data) delete_data=yes ;;
    --dry-run) dry_run=yes ;;
    --help) usage && exit 0 ;;
    *) usage >&2 && echo "undeploy.sh: unknown option $1" >&2 && exit 2 ;;
    esac
    shift
done
if [ ! -f "$kubernetes/overlays/$overlay/kustomization.yaml" ]; then
    echo "undeploy.sh: unknown overlay $overlay: use dev or production" >&2 && exit 2
fi

run() {
    if [ "$dry_run" = yes ]; then
        echo "would run: $*"
    else
        "$@"
    fi
}

source="$kubernetes/overlays/$overlay"
if [ "$namespace" != demo-micro ]; then
    source="$kubernetes/overlays/namespace-$namespace"
    mkdir -p "$source"
    printf 'resources: [../%s]\nnamespace: %s\n' "$overlay" "$namespace" >"$source/kustomization.yaml"
fi

# Consumers first, so that Logstash can still write its queue to Elasticsearch.
run kubectl delete -k "$source" -l kafka-to-search/step=functions --ignore-not-found
run kubectl --namespace "$namespace" delete horizontalpodautoscaler logstash --ignore-not-found
run kubectl --namespace "$namespace" delete statefulset logstash --ignore-not-found --timeout=360s
run kubectl --namespace "$namespace" wait --for=delete pod -l app.kubernetes.io/name=logstash --timeout=360s
run kubectl delete -k "$source" -l 'kafka-to-search/step in (elk, logstash-config, infrastructure, secrets)' --ignore-not-found
if [ "$delete_data" = yes ]; then
    run kubectl delete namespace "$namespace" --ignore-not-found
fi
