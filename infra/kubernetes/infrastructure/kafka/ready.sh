#!/bin/bash
# The readiness probe: the node is ready once it has caught up with every partition that it has a copy of, so a rollout stops
# no second node before. Afterwards only its listener is checked, because Kafka's tools take seconds.
set -euo pipefail

: "${KAFKA_HOME:=/opt/kafka}" "${KAFKA_RUN:=/run/kafka}" "${POD_NAME:?}"
listener=$POD_NAME.kafka-headless
caught_up=$KAFKA_RUN/caught-up

if [ -e "$caught_up" ]; then
    exec 3<>"/dev/tcp/$listener/29092"
    exit
fi

export KAFKA_HEAP_OPTS=-Xmx96m LOG_DIR=$KAFKA_RUN/logs
behind=$("$KAFKA_HOME/bin/kafka-topics.sh" --bootstrap-server "$listener:29092" \
    --command-config "$KAFKA_RUN/client.properties" --describe --under-replicated-partitions)
# "Topic: order.events  Partition: 0  Leader: 1  Replicas: 1,2,0  Isr: 1,2 …": lines with this node as a replica, but not in sync.
node=${POD_NAME##*-}
missing=$(sed -nE "/Replicas: ([0-9]+,)*$node(,|[[:space:]])/{/Isr: ([0-9]+,)*$node(,|[[:space:]]|\$)/!p;}" <<<"$behind")
if [ -n "$missing" ]; then
    echo "not in sync yet: $(wc -l <<<"$missing") partitions"
    exit 1
fi
touch "$caught_up"
