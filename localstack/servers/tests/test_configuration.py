"""The configuration that the servers are started with."""

from pathlib import Path

from local_stack import maven
from local_stack.commands import publishing
from local_stack.servers import kafka, localstack, schema_registry, search_node


def test_kafka_listens_only_on_the_loopback_address():
    lines = kafka.properties(29092, {1: 29093}, Path("/state/kafka/data")).splitlines()

    assert "listeners=PLAINTEXT://127.0.0.1:29092,CONTROLLER://127.0.0.1:29093" in lines
    assert "advertised.listeners=PLAINTEXT://127.0.0.1:29092" in lines
    assert "controller.quorum.voters=1@127.0.0.1:29093" in lines
    assert "log.dirs=/state/kafka/data" in lines


def test_the_brokers_of_a_cluster_replicate_everything_and_vote_together():
    lines = kafka.properties(29094, {1: 29093, 2: 29095, 3: 29097}, Path("/state/kafka-2/data"), 2).splitlines()

    assert "node.id=2" in lines
    assert "listeners=PLAINTEXT://127.0.0.1:29094,CONTROLLER://127.0.0.1:29095" in lines
    assert "controller.quorum.voters=1@127.0.0.1:29093,2@127.0.0.1:29095,3@127.0.0.1:29097" in lines
    assert {line for line in lines if "replication.factor" in line} == {
        "default.replication.factor=3",
        "offsets.topic.replication.factor=3",
        "transaction.state.log.replication.factor=3",
        "share.coordinator.state.topic.replication.factor=3",
    }
    assert "min.insync.replicas=2" in lines


def test_the_nodes_of_a_cluster_find_each_other():
    lines = search_node.settings(Path("/state/opensearch-2"), 29202, 29302, 2, [29300, 29302, 29303]).splitlines()

    assert "node.name: node-2" in lines
    assert 'discovery.seed_hosts: ["127.0.0.1:29300", "127.0.0.1:29302", "127.0.0.1:29303"]' in lines
    assert "cluster.initial_cluster_manager_nodes: [node-1, node-2, node-3]" in lines
    assert "discovery.type: single-node" not in lines
    assert "discovery.type: single-node" in search_node.settings(Path("/state/opensearch"), 29200, 29300).splitlines()


def test_the_schema_registry_listens_only_on_the_loopback_address():
    assert schema_registry.properties(28081, 28082) == [
        "-Dquarkus.http.host=127.0.0.1",
        "-Dquarkus.http.port=28081",
        "-Dquarkus.management.host=127.0.0.1",
        "-Dquarkus.management.port=28082",
    ]


def test_a_node_keeps_everything_in_its_own_folder():
    lines = search_node.settings(Path("/state/opensearch"), 29200, 29300).splitlines()

    assert "path.data: /state/opensearch/data" in lines
    assert "path.logs: /state/opensearch/logs" in lines
    assert "network.host: 127.0.0.1" in lines
    assert "http.port: 29200" in lines


def test_a_nodes_jvm_writes_nothing_into_its_home():
    shipped = (
        "-Xms1g\n"
        "9-:-Xlog:gc*,gc+age=trace,safepoint:file=logs/gc.log:utctime,pid,tags:filecount=32,filesize=64m\n"
        "8:-XX:+PrintGCDetails\n"
        "-XX:HeapDumpPath=data\n"
        "-XX:ErrorFile=logs/hs_err_pid%p.log\n"
    )

    assert search_node.jvm_options(shipped, Path("/state/opensearch")) == (
        "-Xms1g\n-XX:HeapDumpPath=/state/opensearch\n-XX:ErrorFile=/state/opensearch/hs_err_pid%p.log\n"
    )


def test_a_node_uses_the_first_compiler_alone_except_for_measuring():
    assert "-XX:TieredStopAtLevel=1" in search_node.java_options({})
    assert "-XX:TieredStopAtLevel=1" not in search_node.java_options({"STACK_OPENSEARCH_C2": "1"})
    assert search_node.java_options({"OPENSEARCH_HEAP": "2g"}).startswith("-Xms2g -Xmx2g ")
    assert search_node.java_options({"OPENSEARCH_JAVA_OPTS": "-Dmine=1"}).endswith(" -Dmine=1")


def test_localstack_gets_none_of_the_users_aws_settings():
    settings = localstack.settings(
        {"PATH": "/bin", "AWS_PROFILE": "production", "AWS_SECRET_ACCESS_KEY": "real"}, 24566, Path("/state/ls"), None
    )

    assert [name for name in settings if name.startswith("AWS_")] == []
    assert settings["PATH"] == "/bin"
    assert settings["GATEWAY_LISTEN"] == "127.0.0.1:24566"
    assert "LAMBDA_RUNTIME_EXECUTOR" not in settings


def test_localstack_runs_functions_as_processes_with_the_extension():
    settings = localstack.settings({}, 24566, Path("/state/ls"), Path("/cache/extension"))

    assert settings["PYTHONPATH"] == "/cache/extension"
    assert settings["LAMBDA_RUNTIME_EXECUTOR"] == "process"


def test_a_maven_project_depends_on_each_artifact():
    assert maven.pom(["org.apache.kafka:kafka_2.13:4.3.1"]).count("<dependency>") == 1
    assert (
        "<groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.3.1</version>"
        in maven.pom(["org.apache.kafka:kafka_2.13:4.3.1"])
    )


def test_only_the_published_offsets_are_counted():
    before = {("order.events", 0): 5, ("order.events", 1): 7}
    after = {("order.events", 0): 9, ("order.events", 1): 7, ("inventory.events", 0): 2}

    def partition(topic, number, first, end):
        return {
            "bool": {
                "filter": [
                    {"term": {"kafka_topic": topic}},
                    {"term": {"kafka_partition": number}},
                    {"range": {"kafka_offset": {"gte": first, "lt": end}}},
                ]
            }
        }

    assert publishing.published_between(before, after) == {
        "bool": {
            "should": [partition("inventory.events", 0, 0, 2), partition("order.events", 0, 5, 9)],
            "minimum_should_match": 1,
        }
    }
