#!/bin/bash
# Starts the broker and controller of this pod: completes the configuration, formats an empty volume, then runs Kafka.
set -euo pipefail

: "${KAFKA_HOME:=/opt/kafka}" "${KAFKA_CONFIGURATION:=/etc/kafka/stack}" "${KAFKA_RUN:=/run/kafka}"
: "${KAFKA_DATA:=/var/lib/kafka/data}" "${KAFKA_CLUSTER_ID:?}" "${POD_NAME:?}" "${POD_NAMESPACE:?}"

# kafka-0 is node 0. Quorum and replica settings use these ids.
node=${POD_NAME##*-}
umask 077
configuration=$KAFKA_RUN/server.properties
{
    cat "$KAFKA_CONFIGURATION/server.properties" "$KAFKA_CONFIGURATION/security.properties"
    echo "node.id=$node"
    echo "log.dirs=$KAFKA_DATA"
} | sed "s/@POD@/$POD_NAME/g; s/@NAMESPACE@/$POD_NAMESPACE/g" >"$configuration"
sed "s/@POD@/$POD_NAME/g" "$KAFKA_CONFIGURATION/client.properties" >"$KAFKA_RUN/client.properties"

# The listener for clients outside the cluster (components/external-access).
if [ -n "${KAFKA_EXTERNAL_DOMAIN:-}" ]; then
    sed -i -e 's/^listeners=.*/&,EXTERNAL:\/\/:9094/' \
        -e "s/^advertised.listeners=.*/&,EXTERNAL:\/\/$POD_NAME.$KAFKA_EXTERNAL_DOMAIN:9094/" \
        -e 's/^listener.security.protocol.map=.*/&,EXTERNAL:SASL_SSL/' "$configuration"
    {
        echo "listener.name.external.ssl.client.auth=none"
        echo "listener.name.external.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"
    } >>"$configuration"
fi

format=(--cluster-id "$KAFKA_CLUSTER_ID" --config "$configuration" --ignore-formatted)
# The users that must exist before any client can create users: the brokers' user and the administrator, whom the tools log in as.
if [ -n "${KAFKA_BROKER_PASSWORD:-}" ]; then
    format+=(--add-scram "SCRAM-SHA-512=[name=broker,password=$KAFKA_BROKER_PASSWORD]")
    format+=(--add-scram "SCRAM-SHA-512=[name=$KAFKA_USER,password=$KAFKA_PASSWORD]")
fi

export KAFKA_LOG4J_OPTS="-Dlog4j2.configurationFile=$KAFKA_CONFIGURATION/log4j2.properties"
export LOG_DIR=$KAFKA_RUN/logs
"$KAFKA_HOME/bin/kafka-storage.sh" format "${format[@]}"
exec "$KAFKA_HOME/bin/kafka-server-start.sh" "$configuration"
