"""The optional components, each built with each overlay as a user would: `components:` in an overlay of one's own.

They are built by kubectl's kustomize and held against the schemas of three versions of Kubernetes. The objects of KEDA and of
the Prometheus operator have no schema there; their fields are compared with their documentation. Nothing of them is run.
"""

import base64
import json
import os
import re
import subprocess
import sys
import time
from functools import cache

import kubernetes_validate
import pytest
import test_manifests as manifests
import yaml
from conftest import KUBERNETES, OVERLAYS, build, files_of, named, pipeline_settings
from test_jobs import stand_in
from test_probes import script
from test_scripts import encoded_certificate

COMPONENTS = sorted(path.parent.name for path in KUBERNETES.glob("components/*/kustomization.yaml"))
# Components that change production only.
PRODUCTION = {"keda", "external-access", "replay", "snapshots", "prometheus"}
VERSIONS = ("1.35", "1.36", "1.37")
# Kinds that other programs add to Kubernetes.
ADDED = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PrometheusRule"}
CASES = [(name, overlay) for name in COMPONENTS for overlay in OVERLAYS if overlay == "production" or name not in PRODUCTION]


@cache
def built(folder, component: str, overlay: str) -> tuple:
    place = folder / f"{component}-{overlay}"
    place.mkdir()
    mine = {
        "resources": [os.path.relpath(KUBERNETES / "overlays" / overlay, place)],
        "components": [os.path.relpath(KUBERNETES / "components" / component, place)],
        "namespace": "demo-micro",
    }
    (place / "kustomization.yaml").write_text(yaml.safe_dump(mine))
    return tuple(build(place))


@pytest.fixture(scope="module")
def objects_of(tmp_path_factory):
    """The objects of an overlay with a component."""
    folder = tmp_path_factory.mktemp("components").resolve()
    return lambda component, overlay: list(built(folder, component, overlay))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_overlays_are_valid_for_three_versions_of_kubernetes(builds, overlay, version):
    for item in builds[overlay]:
        kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize(("component", "overlay"), CASES)
def test_a_component_is_valid_and_follows_the_policies_of_the_stack(objects_of, component, overlay):
    objects = objects_of(component, overlay)
    for version in VERSIONS:
        for item in objects:
            if item["kind"] not in ADDED:
                kubernetes_validate.validate(item, version, strict=True)
    steps = {"foundation", "secrets", "infrastructure", "elk", "logstash-config", "functions"}
    assert all(item["metadata"]["labels"]["kafka-to-search/step"] in steps for item in objects)
    if component != "priority":
        manifests.test_pods_are_restricted(objects)
    manifests.test_every_container_has_requests_and_limits(objects)
    for workload in manifests.workloads(objects):
        for each in manifests.containers(workload):
            assert re.search(r":\d+\.\d+", each["image"]), f"{each['name']} would run the newest {each['image']}"
    manifests.test_limits_fit_the_limit_range(objects)
    manifests.test_mounted_volumes_exist(objects)
    manifests.test_the_batches_of_logstash_fit_into_its_heap(objects)
    assert not [item for item in objects if item["kind"] == "Secret"]
    if overlay == "production":
        needed, hard = manifests.quota(objects)
        for name, amount in needed.items():
            assert amount <= manifests.quantity(hard[name]), f"{name}: {amount:g} needed, {hard[name]} allowed"


def container(objects: list[dict]) -> dict:
    """Logstash's container."""
    return named(objects, "StatefulSet", "logstash")["spec"]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_throughput_has_the_values_of_the_original(objects_of, overlay):
    objects = objects_of("throughput", overlay)
    tuning, (main, _) = files_of(objects, "logstash-tuning"), pipeline_settings(objects)
    assert 5 <= int(tuning["CONSUMER_THREADS"]) <= 10
    assert 4 <= int(main["pipeline.workers"]) <= 8 and 250 <= int(main["pipeline.batch.size"]) <= 500
    partitions = int(manifests.options(objects, "Job", "kafka-topics")["PARTITIONS"])
    replicas = 1
    if overlay == "production":
        scaler = named(objects, "HorizontalPodAutoscaler", "logstash")["spec"]
        replicas = scaler["maxReplicas"]
        assert scaler["minReplicas"] == 3
    assert replicas * int(tuning["CONSUMER_THREADS"]) <= partitions, "some threads would be idle"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_low_latency_has_the_values_of_the_original(objects_of, builds, overlay):
    objects = objects_of("low-latency", overlay)
    (main, _) = pipeline_settings(objects)
    assert int(main["pipeline.batch.delay"]) == 10 and 50 <= int(main["pipeline.batch.size"]) <= 100
    assert files_of(objects, "provision-cluster")["REFRESH_INTERVAL"] == "1s"
    before, after = (manifests.quantity(container(each)["resources"]["limits"]["cpu"]) for each in (builds[overlay], objects))
    assert after > before


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_large_events_has_the_values_of_the_original(objects_of, builds, overlay):
    objects = objects_of("large-events", overlay)
    resources = container(objects)["resources"]
    memory = [manifests.quantity(resources[kind]["memory"]) / 2**30 for kind in ("requests", "limits")]
    assert all(2 <= amount <= 4 for amount in memory)
    (main, _) = pipeline_settings(objects)
    assert main["queue.type"] == "persisted"
    (claim,) = named(objects, "StatefulSet", "logstash")["spec"]["volumeClaimTemplates"]
    assert manifests.quantity(claim["spec"]["resources"]["requests"]["storage"]) > 2 * manifests.quantity(
        main["queue.max_bytes"].replace("gb", "Gi")
    )
    heap = manifests.options(objects)["LS_JAVA_OPTS"]
    assert heap == "-Xmx2g -Xms2g" and manifests.options(builds[overlay])["LS_JAVA_OPTS"] != heap


def test_keda_takes_the_place_of_the_autoscaler(objects_of):
    """Two autoscalers of one workload would fight. Fields: https://keda.sh/docs/latest/scalers/apache-kafka/."""
    objects = objects_of("keda", "production")
    assert not [item for item in objects if item["kind"] == "HorizontalPodAutoscaler"]
    scaled = named(objects, "ScaledObject", "logstash")["spec"]
    assert scaled["minReplicaCount"] >= 1 and scaled["scaleTargetRef"] == {"kind": "StatefulSet", "name": "logstash"}
    topics = manifests.options(objects, "Job", "kafka-topics")["TOPICS"].split()
    assert [trigger["metadata"]["topic"] for trigger in scaled["triggers"]] == topics
    for trigger in scaled["triggers"]:
        assert trigger["metadata"]["consumerGroup"] == "logstash-consumer-group"
        assert (trigger["metadata"]["sasl"], trigger["metadata"]["tls"]) == ("scram_sha512", "enable")
        assert trigger["metadata"]["bootstrapServers"] == "kafka.demo-micro.svc:29092", "KEDA is in another namespace"
        assert (
            trigger["authenticationRef"]["name"] == named(objects, "TriggerAuthentication", "logstash-lag")["metadata"]["name"]
        )


def test_an_ingress_leads_to_kibana_which_knows_its_address(objects_of):
    objects = objects_of("ingress", "production")
    (rule,) = named(objects, "Ingress", "kibana")["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    service = named(objects, "Service", path["backend"]["service"]["name"])
    assert path["backend"]["service"]["port"]["name"] in [port["name"] for port in service["spec"]["ports"]]
    assert manifests.options(objects, "Deployment", "kibana")["SERVER_PUBLICBASEURL"] == f"https://{rule['host']}"


def test_data_has_a_higher_priority_than_the_pipeline(objects_of):
    objects = objects_of("priority", "production")
    values = {item["metadata"]["name"]: item["value"] for item in objects if item["kind"] == "PriorityClass"}

    def priority(kind, name):
        return values[named(objects, kind, name)["spec"]["template"]["spec"]["priorityClassName"]]

    for name in ("kafka", "elasticsearch", "redis"):
        assert priority("StatefulSet", name) > priority("StatefulSet", "logstash") > 0
    assert priority("Deployment", "kibana") > 0


def test_clients_outside_reach_every_broker_at_the_name_that_it_advertises(objects_of, tmp_path):
    """Runs start-kafka.sh with stand-ins for Kafka's scripts, and asks for the certificates' names."""
    objects = objects_of("external-access", "production")
    domain = files_of(objects, "external-access")["DOMAIN"]
    services = {item["metadata"]["name"]: item for item in objects if item["kind"] == "Service"}
    folder = tmp_path / "stack"
    folder.mkdir()
    for name, text in files_of(objects, "kafka-configuration").items():
        (folder / name).write_text(text)
    for name in ("kafka-storage.sh", "kafka-server-start.sh"):
        script(tmp_path / "bin" / name, "#!/bin/sh\n")
    for node in range(3):
        run = tmp_path / f"run-{node}"
        run.mkdir()
        environment = {
            "PATH": os.environ["PATH"], "KAFKA_HOME": str(tmp_path), "KAFKA_CONFIGURATION": str(folder), "KAFKA_RUN": str(run),
            "KAFKA_CLUSTER_ID": "c", "POD_NAME": f"kafka-{node}", "POD_NAMESPACE": "demo-micro",
            "KAFKA_EXTERNAL_DOMAIN": domain,
        }  # fmt: skip
        subprocess.run(["bash", folder / "start-kafka.sh"], env=environment, check=True)
        lines = (run / "server.properties").read_text().splitlines()
        settings = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        assert settings["listeners"].endswith(",EXTERNAL://:9094")
        assert settings["advertised.listeners"].endswith(f",EXTERNAL://kafka-{node}.{domain}:9094")
        assert settings["listener.security.protocol.map"].endswith(",EXTERNAL:SASL_SSL")
        assert settings["listener.name.external.scram-sha-512.sasl.jaas.config"].endswith("ScramLoginModule required;")
        service = services[f"kafka-external-{node}"]
        assert service["spec"]["selector"]["statefulset.kubernetes.io/pod-name"] == f"kafka-{node}"
        assert service["metadata"]["annotations"]["external-dns.alpha.kubernetes.io/hostname"] == f"kafka-{node}.{domain}"
    sys.path.insert(0, str(KUBERNETES / "base" / "jobs"))
    import stack_secrets

    assert stack_secrets.external_names("kafka", domain) == [f"kafka-{node}.{domain}" for node in range(3)]
    assert stack_secrets.external_names("elasticsearch", domain) == [f"elasticsearch.{domain}"]
    assert stack_secrets.external_names("kibana", domain) == stack_secrets.external_names("kafka", None) == []
    for kind, name in (("Job", "stack-secrets"), ("CronJob", "certificate-renewal")):
        spec = named(objects, kind, name)["spec"]
        spec = spec["jobTemplate"]["spec"] if kind == "CronJob" else spec
        (entry,) = spec["template"]["spec"]["containers"][0]["env"]
        assert entry["name"] == "EXTERNAL_DOMAIN" and entry["valueFrom"]["configMapKeyRef"]["key"] == "DOMAIN"
    for name, port in (("kafka-external", 9094), ("elasticsearch-external", 9200)):
        (rule,) = named(objects, "NetworkPolicy", name)["spec"]["ingress"]
        assert [each["port"] for each in rule["ports"]] == [port] and rule["from"]
    hard = named(objects, "ResourceQuota", "stack")["spec"]["hard"]
    balancers = [service for service in services.values() if service["spec"].get("type") == "LoadBalancer"]
    assert int(hard["services.loadbalancers"]) == len(balancers) == 4


# Speaks the Runtime API as the function does, and records what it got. Its first response asks for another invocation.
FUNCTION = """
import json, os, sys, urllib.request
runtime = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime"
def call(url, body=None, **headers):
    request = urllib.request.Request(url, data=body and json.dumps(body).encode(), headers=headers)
    with urllib.request.urlopen(request) as response:
        return json.load(response), response.headers
secret, _ = call(os.environ["AWS_ENDPOINT_URL"], {"SecretId": os.environ["SEARCH_SECRET_ID"]},
                 **{"X-Amz-Target": "secretsmanager.GetSecretValue"})
assert json.loads(secret["SecretString"]) == {"api_key": "a-key"} and "API_KEY" not in os.environ
while True:
    event, headers = call(f"{runtime}/invocation/next")
    assert int(headers["Lambda-Runtime-Deadline-Ms"]) > 0
    number = event.get("after", 0) + 1
    responses = json.loads(os.environ["RESPONSES"])
    response = {"next": {**event, "after": number}, **responses[number - 1]}
    call(f"{runtime}/invocation/{headers['Lambda-Runtime-Aws-Request-Id']}/response", response)
"""


@pytest.mark.parametrize(
    ("responses", "code"),
    [
        ([{"complete": True}], 0),
        ([{"complete": False}, {"complete": False}, {"complete": True}], 0),
        ([{"complete": False, "failed": 3}], 1),
        ([{"complete": True, "failed": 3}], 1),
        ([], 1),
    ],
)
def test_the_replay_continues_until_it_is_complete(tmp_path, responses, code):
    """A stand-in for the program speaks Lambda's Runtime API; the real one does so in the tests of the local stack."""
    script(tmp_path / "function", f"#!{sys.executable}\n{FUNCTION}")
    environment = {
        "PATH": os.environ["PATH"], "REPLAY_PROGRAM": str(tmp_path / "function"), "API_KEY": "a-key",
        "REPLAY_REQUEST": '{"all": true}', "RESPONSES": json.dumps(responses),
    }  # fmt: skip
    job = KUBERNETES / "components" / "replay" / "replay_job.py"
    done = subprocess.run(
        [sys.executable, "-B", job], env=environment, capture_output=True, text=True, check=False, timeout=120
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert done.stdout.count('"complete"') == len(responses)
    assert "a-key" not in done.stdout + done.stderr


def test_nothing_is_replayed_unless_someone_starts_it(objects_of):
    objects = objects_of("replay", "production")
    assert named(objects, "CronJob", "replay-dead-letters")["spec"]["suspend"] is True
    request = json.loads(files_of(objects, "replay-request")["REPLAY_REQUEST"])
    assert request["dry_run"] is True


def test_snapshots_are_taken_each_night_and_kept(objects_of):
    """The requests of Elastic's documentation, to a stand-in for Elasticsearch."""
    objects = objects_of("snapshots", "production")
    settings = files_of(objects, "snapshots")
    place = KUBERNETES / "components" / "snapshots"
    with stand_in(lambda *_: (200, {"acknowledged": True})) as (url, requests):
        environment = {**settings, "ELASTICSEARCH_URL": url, "ELASTIC_PASSWORD": "p", "PATH": os.environ["PATH"]}
        environment["PYTHONPATH"] = str(KUBERNETES / "base" / "jobs")
        done = subprocess.run(
            [sys.executable, "-B", place / "snapshots.py"], env=environment, capture_output=True, text=True, check=False
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (_, repository, body, _), (_, policy, slm, _) = requests
    assert (repository, policy) == ("/_snapshot/s3", "/_slm/policy/nightly")
    assert body == {
        "type": "s3",
        "settings": {"bucket": settings["BUCKET"], "region": settings["REGION"], "base_path": settings["BASE_PATH"]},
    }
    assert slm["repository"] == "s3" and slm["retention"] == {"expire_after": f"{settings['KEEP_DAYS']}d", "min_count": 7}
    elasticsearch = named(objects, "StatefulSet", "elasticsearch")["spec"]["template"]
    assert [each["name"] for each in elasticsearch["spec"]["initContainers"]] == ["configuration", "keystore"]
    selector = named(objects, "NetworkPolicy", "snapshots-s3")["spec"]["podSelector"]
    assert manifests.selects(selector, elasticsearch["metadata"]["labels"])


def test_prometheus_gets_lag_queues_state_and_certificates(objects_of, tmp_path, monkeypatch):
    """The responses are those of Elasticsearch and of Logstash's API; the text is read by its documented grammar."""
    sys.path.insert(0, str(KUBERNETES / "components" / "prometheus"))
    import stack_metrics

    now = time.strftime("%Y-%m-%dT%H:%M:%S.000+00:00", time.gmtime())
    report = [
        {
            "@timestamp": now,
            "kind": "lag",
            "group": "logstash-consumer-group",
            "topic": "order.events",
            "partition": 2,
            "lag": 41,
        },
        {"@timestamp": now, "kind": "dead_letters", "total": 7, "new": 0},
        {"@timestamp": now, "kind": "disk", "node": "elasticsearch-0", "used_percent": 61},
        {"@timestamp": "2026-01-01T00:00:00.000+00:00", "kind": "disk", "node": "gone", "used_percent": 99},
    ]
    dead = {"queue_size_in_bytes": 1, "max_queue_size_in_bytes": 9, "dropped_events": 0}
    queue = {"type": "persisted", "queue_size_in_bytes": 1204, "max_queue_size_in_bytes": 1073741824}
    stats = {"name": "logstash-0", "pipelines": {"main": {"events": {"out": 12}, "queue": queue, "dead_letter_queue": dead}}}
    monkeypatch.setattr(stack_metrics, "logstash_stats", lambda host: stats)
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "tls.crt").write_bytes(base64.b64decode(encoded_certificate(60)))

    def fetch(path, body):
        return {"hits": {"hits": [{"_source": each} for each in report]}} if "_search" in path else {"status": "yellow"}

    text = stack_metrics.text(stack_metrics.collect(fetch, lambda: ["10.0.0.1"], tmp_path))
    sample = re.compile(r"([a-z_]+)(\{[a-z]+=\"[^\"]*\"(?:,[a-z]+=\"[^\"]*\")*\})? (\S+)")
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels, value = sample.fullmatch(line).groups()
            found[name + (labels or "")] = float(value)
    assert found['stack_consumer_lag_records{group="logstash-consumer-group",topic="order.events",partition="2"}'] == 41
    assert found["stack_dead_letters"] == 7 and found['stack_disk_used_percent{node="elasticsearch-0"}'] == 61
    assert not any("gone" in name for name in found), "it is not of the last report"
    assert found["stack_elasticsearch_status"] == 1
    assert found['stack_logstash_queue_bytes{pod="logstash-0",pipeline="main"}'] == 1204
    assert found['stack_logstash_events_out_total{pod="logstash-0",pipeline="main"}'] == 12
    days = (found['stack_certificate_expiry_timestamp_seconds{name="kafka"}'] - time.time()) / 86_400
    assert 59 < days < 61 and found["stack_report_age_seconds"] < 60
    for name in ("report", "elasticsearch", "logstash", "certificates"):
        assert found[f'stack_source_up{{source="{name}"}}'] == 1, name

    def away(path, body):
        raise OSError("away")

    text = stack_metrics.text(stack_metrics.collect(away, lambda: [], tmp_path))
    assert 'stack_source_up{source="elasticsearch"} 0' in text and "stack_certificate_expiry" in text

    # Every alert is about a metric that exists, and every metric is explained.
    objects = objects_of("prometheus", "production")
    ((group),) = named(objects, "PrometheusRule", "kafka-to-search")["spec"]["groups"]
    assert len(group["rules"]) >= 9
    for rule in group["rules"]:
        used = set(re.findall(r"stack_[a-z_]+", rule["expr"]))
        assert used and used <= stack_metrics.HELP.keys(), rule["alert"]
    monitor = named(objects, "ServiceMonitor", "stack-metrics")["spec"]
    service = named(objects, "Service", "stack-metrics")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]
