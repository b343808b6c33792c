#!/usr/bin/env bash
# Deploys the stack to a Kubernetes cluster, part by part, and waits until each part is ready. deploy.bat does the same.
set -euo pipefail

kubernetes=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
repository=$(cd "$kubernetes/../.." && pwd)

usage() {
    cat <<'END'
Usage: deploy.sh [PART ...] [OPTION ...]

Parts (default --all):
  --infrastructure    Kafka and its topics, Redis; in dev also LocalStack
  --elk               Elasticsearch, Logstash, Kibana
  --functions         the Lambda functions in LocalStack, and the poller that calls them (dev; needs sam and curl)
  --all               all parts

Options:
  --overlay NAME      dev (default) or production
  --namespace NAME    the namespace (default demo-micro)
  --dry-run           print the commands without running them
  --help              print this text

Deploys to the cluster of kubectl's current context. The variable LOCALSTACK_PORT (default 4566) sets the local port that is
forwarded to LocalStack.
END
}

infrastructure=no elk=no functions=no
overlay=dev
namespace=demo-micro
dry_run=no
port=${LOCALSTACK_PORT:-4566}

while [ $# -gt 0 ]; do
    case $1 in
    --infrastructure) infrastructure=yes ;;
    --elk) elk=yes ;;
    --functions) functions=yes ;;
    --all) infrastructure=yes elk=yes functions=yes ;;
    --overlay) overlay=${2:?"--overlay needs a name: dev or production"} && shift ;;
    --namespace) namespace=${2:?"--namespace needs a name"} && shift ;;
    --dry-run) dry_run=yes ;;
    --help) usage && exit 0 ;;
    *) usage >&2 && echo "deploy.sh: unknown option $1" >&2 && exit 2 ;;
    esac
    shift
done
if [ "$infrastructure$elk$functions" = nonono ]; then
    infrastructure=yes elk=yes functions=yes
fi
if [ ! -f "$kubernetes/overlays/$overlay/kustomization.yaml" ]; then
    echo "deploy.sh: unknown overlay $overlay: use dev or production" >&2 && exit 2
fi

part="start"
forward=""
finish() {
    status=$?
    [ -z "$forward" ] || kill "$forward" 2>/dev/null || true
    if [ $status -ne 0 ]; then
        echo "deploy.sh: failed at: $part" >&2
    fi
}
trap finish EXIT

step() {
    part=$1
    echo
    echo "== $1"
}

run() {
    if [ "$dry_run" = yes ]; then
        echo "would run: $*"
    else
        "$@"
    fi
}

# If a Job does not complete, its log shows why.
run_job() { # name, timeout
    run kubectl --namespace "$namespace" wait --for=condition=complete "job/$1" "--timeout=$2" || {
        kubectl --namespace "$namespace" logs "job/$1" --all-containers --tail=20 >&2 || true
        return 1
    }
}

source="$kubernetes/overlays/$overlay"
if [ "$namespace" != demo-micro ]; then
    source="$kubernetes/overlays/namespace-$namespace"
    mkdir -p "$source"
    printf 'resources: [../%s]\nnamespace: %s\n' "$overlay" "$namespace" >"$source/kustomization.yaml"
fi

step "Namespace, access and network policies"
run kubectl apply -k "$source" -l kafka-to-search/step=foundation

step "Secrets"
run kubectl --namespace "$namespace" delete job -l kafka-to-search/step=secrets --ignore-not-found
run kubectl apply -k "$source" -l kafka-to-search/step=secrets
run_job stack-secrets 300s

if [ "$infrastructure" = yes ]; then
    step "Infrastructure"
    run kubectl --namespace "$namespace" delete job -l kafka-to-search/step=infrastructure --ignore-not-found
    run kubectl apply -k "$source" -l kafka-to-search/step=infrastructure
    step "Kafka"
    run kubectl --namespace "$namespace" rollout status statefulset/kafka --timeout=600s
    step "Kafka topics"
    run_job kafka-topics 600s
    step "Redis"
    run kubectl --namespace "$namespace" rollout status statefulset/redis --timeout=180s
    if [ "$overlay" = dev ]; then
        step "LocalStack"
        run kubectl --namespace "$namespace" rollout status deployment/localstack --timeout=300s
    fi
fi

if [ "$elk" = yes ]; then
    step "Logstash ConfigMap"
    run kubectl apply -k "$source" -l kafka-to-search/step=logstash-config
    step "ELK"
    run kubectl --namespace "$namespace" delete job -l kafka-to-search/step=elk --ignore-not-found
    run kubectl apply -k "$source" -l kafka-to-search/step=elk
    step "Elasticsearch"
    run kubectl --namespace "$namespace" rollout status statefulset/elasticsearch --timeout=600s
    step "Elasticsearch setup"
    run_job elasticsearch-setup 600s
    step "Logstash"
    run kubectl --namespace "$namespace" rollout status statefulset/logstash --timeout=180s
    step "Kibana"
    run kubectl --namespace "$namespace" rollout status deployment/kibana --timeout=300s
    step "Cluster provisioning"
    run_job provision-cluster 600s
    step "Kibana setup"
    run_job kibana-setup 600s
fi

if [ "$functions" = yes ] && [ "$overlay" = production ]; then
    step "Functions"
    echo "The functions of production run on AWS: deploy them with sam deploy (docs/DEPLOYING.md). Skipping this part."
elif [ "$functions" = yes ]; then
    step "Functions: build"
    cd "$repository"
    run sam build --template-file infra/expanded.yaml --build-dir .aws-sam/build
    step "Functions: deploy to LocalStack"
    export AWS_ENDPOINT_URL="http://127.0.0.1:$port" AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
    # The pod copies the Elasticsearch key from its Kubernetes Secret into LocalStack's Secrets Manager. Only the ARN comes here.
    secret_arn="ARN-OF-THE-SECRET"
    if [ "$dry_run" = yes ]; then
        echo "would run: kubectl --namespace $namespace exec deployment/localstack -- python3 -B /jobs/search_secret.py"
        echo "would run: kubectl --namespace $namespace port-forward service/localstack $port:4566"
    else
        secret_arn=$(kubectl --namespace "$namespace" exec deployment/localstack -- python3 -B /jobs/search_secret.py)
        kubectl --namespace "$namespace" port-forward service/localstack "$port:4566" >/dev/null &
        forward=$!
    fi
    run curl --silent --show-error --fail --retry 30 --retry-delay 1 --retry-connrefused "http://127.0.0.1:$port/_localstack/health"
    run sam deploy --template-file .aws-sam/build/template.yaml --stack-name kafka-to-search --region us-east-1 --resolve-s3 --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --no-confirm-changeset --no-fail-on-empty-changeset --parameter-overrides KafkaBootstrapServers=kafka:29092 SearchEndpoint=http://elasticsearch:9200 SearchAuth=api_key SearchPlaintext=allow "SearchSecretArn=$secret_arn" Provision=false
    step "Functions: poller"
    run kubectl apply -k "$source" -l kafka-to-search/step=functions
    run kubectl --namespace "$namespace" rollout status deployment/kafka-poller --timeout=300s
fi

part="end"
echo
if [ "$dry_run" = yes ]; then
    echo "Nothing was changed (--dry-run)."
elif [ "$elk" = yes ]; then
    echo "Kafka integration enabled. Check it with: $kubernetes/scripts/verify.sh --overlay $overlay --namespace $namespace"
else
    echo "Done."
fi
