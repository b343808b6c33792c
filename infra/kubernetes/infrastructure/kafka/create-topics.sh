#!/bin/bash
# Creates the missing topics. If passwords are set, also creates the users of Logstash, the functions, the services and the
# report, and grants them the permissions they need.
set -euo pipefail

: "${KAFKA_HOME:=/opt/kafka}" "${KAFKA_CONFIGURATION:=/etc/kafka/stack}" "${KAFKA_RUN:=/run/kafka}"
: "${KAFKA_BOOTSTRAP_SERVERS:?}" "${TOPICS:?}" "${PARTITIONS:?}" "${REPLICATION_FACTOR:?}" "${MIN_INSYNC_REPLICAS:?}"

export KAFKA_LOG4J_OPTS="-Dlog4j2.configurationFile=$KAFKA_CONFIGURATION/log4j2.properties"
export LOG_DIR=$KAFKA_RUN/logs
umask 077
cp "$KAFKA_CONFIGURATION/client.properties" "$KAFKA_RUN/client.properties"
connection=(--bootstrap-server "$KAFKA_BOOTSTRAP_SERVERS" --command-config "$KAFKA_RUN/client.properties")

for topic in $TOPICS; do
    "$KAFKA_HOME/bin/kafka-topics.sh" "${connection[@]}" --create --if-not-exists --topic "$topic" \
        --partitions "$PARTITIONS" --replication-factor "$REPLICATION_FACTOR" \
        --config "min.insync.replicas=$MIN_INSYNC_REPLICAS"
done

add_user() { # name password
    "$KAFKA_HOME/bin/kafka-configs.sh" "${connection[@]}" --alter --entity-type users --entity-name "$1" \
        --add-config "SCRAM-SHA-512=[password=$2]"
}

topic_options=()
for topic in $TOPICS; do
    topic_options+=(--topic "$topic")
done

may_read() { # name, prefix of its consumer groups
    "$KAFKA_HOME/bin/kafka-acls.sh" "${connection[@]}" --add --allow-principal "User:$1" \
        --operation Read --operation Describe "${topic_options[@]}"
    "$KAFKA_HOME/bin/kafka-acls.sh" "${connection[@]}" --add --allow-principal "User:$1" \
        --operation Read --operation Describe --group "$2" --resource-pattern-type prefixed
}

may_write() { # name
    "$KAFKA_HOME/bin/kafka-acls.sh" "${connection[@]}" --add --allow-principal "User:$1" \
        --operation Write --operation Describe "${topic_options[@]}"
}

may_see_lag() { # name, group, topic ...
    local user=$1 group=$2
    shift 2
    "$KAFKA_HOME/bin/kafka-acls.sh" "${connection[@]}" --add --allow-principal "User:$user" --operation Describe "$@"
    "$KAFKA_HOME/bin/kafka-acls.sh" "${connection[@]}" --add --allow-principal "User:$user" --operation Describe --group "$group"
}

if [ -n "${KAFKA_LOGSTASH_PASSWORD:-}" ]; then
    add_user logstash "$KAFKA_LOGSTASH_PASSWORD"
    may_read logstash logstash-consumer-group
    add_user functions "$KAFKA_FUNCTIONS_PASSWORD"
    may_read functions kafka-to-search
    add_user services "$KAFKA_SERVICES_PASSWORD"
    may_write services
    add_user report "$KAFKA_REPORT_PASSWORD"
    may_see_lag report '*' --topic '*'
fi
# Of the component keda.
if [ -n "${KAFKA_SCALER_PASSWORD:-}" ]; then
    add_user scaler "$KAFKA_SCALER_PASSWORD"
    may_see_lag scaler logstash-consumer-group "${topic_options[@]}"
fi

"$KAFKA_HOME/bin/kafka-topics.sh" "${connection[@]}" --describe
