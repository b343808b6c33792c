#!/bin/bash
# The readiness probe: a node is ready once its shards have recovered, so a rollout stops no second node before. Afterwards only
# its readiness port is checked, so that a lost node makes no other unready.
set -euo pipefail

: "${READY_STATUS:?}" "${ELASTIC_PASSWORD:?}" "${READY_FOLDER:=/tmp}" "${READINESS_PORT:=9399}"
: "${CERTIFICATES:=/usr/share/elasticsearch/config/certificates}"
recovered=$READY_FOLDER/recovered
# Open while the node belongs to a cluster that has a master.
exec 3<>"/dev/tcp/localhost/$READINESS_PORT"
if [ -e "$recovered" ]; then
    exit 0
fi
url=http://localhost:9200
if [ -f "$CERTIFICATES/ca.crt" ]; then
    url=https://localhost:9200
fi
# The password goes through standard input, so it is not in the list of processes.
status=$({
    printf 'user = "elastic:%s"\n' "$ELASTIC_PASSWORD"
    if [ "$url" = https://localhost:9200 ]; then
        printf 'cacert = "%s/ca.crt"\n' "$CERTIFICATES"
    fi
} | curl --config - --silent --max-time 4 --output /dev/null --write-out '%{http_code}' \
    "$url/_cluster/health?wait_for_status=$READY_STATUS&timeout=2s")
case $status in
200) touch "$recovered" ;;
# The password was changed in Elasticsearch and not in the Secret: that says nothing about the node.
401) ;;
*) echo "the cluster is not $READY_STATUS yet ($status)" && exit 1 ;;
esac
