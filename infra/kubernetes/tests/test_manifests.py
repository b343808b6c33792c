"""The manifests are valid by the Kubernetes schemas and follow the project's policies."""

import json
import os
import re
import tomllib

import kubernetes_validate
import pytest
import yaml
from conftest import ELK, KUBERNETES, OVERLAYS, REPOSITORY, build, files_of, named, pipeline_settings
from logstash.config import parse

BUILDS = ("base", *OVERLAYS)
WORKLOADS = ("StatefulSet", "Deployment", "Job")
CRON_JOBS = {"certificate-renewal": "stack-secrets", "api-key-renewal": "elasticsearch-setup"}
PARTITIONS = {"base": 3, "dev": 3, "production": 12}
# The only exceptions from the policies below, with their reasons.
WITHOUT_LIVENESS = {
    "kafka-poller": "it exits if it cannot continue, and Kubernetes restarts it; it must not restart when LocalStack is down",
}
# It has no server. It exits if it cannot continue, and Kubernetes restarts it.
WITHOUT_PROBES = {"sample-producer"}
POSSIBLE_SECRET = re.compile(r"password|secret|token|private.?key|api.?key|credential", re.IGNORECASE)


def workloads(objects: list[dict]) -> list[dict]:
    """The objects that create pods; of a CronJob, the Job that it creates."""
    found = [item for item in objects if item["kind"] in WORKLOADS]
    for item in objects:
        if item["kind"] == "CronJob":
            found.append({"kind": "Job", "metadata": item["metadata"], "spec": item["spec"]["jobTemplate"]["spec"]})
    return found


def containers(workload: dict) -> list[dict]:
    """The containers of a workload, including init containers."""
    spec = workload["spec"]["template"]["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def labels(workload: dict) -> dict[str, str]:
    """The labels of the pods of a workload."""
    return workload["spec"]["template"]["metadata"]["labels"]


def selects(selector: dict, pod_labels: dict[str, str]) -> bool:
    """Whether a label selector matches these labels."""
    assert selector.keys() <= {"matchLabels"}, "only matchLabels is supported here"
    return selector.get("matchLabels", {}).items() <= pod_labels.items()


def options(objects: list[dict], kind: str = "StatefulSet", name: str = "logstash") -> dict[str, str]:
    """The plain environment variables of the main container of a workload."""
    (container,) = named(objects, kind, name)["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value") for entry in container["env"]}


@pytest.fixture(params=BUILDS)
def objects(request, builds):
    """The objects of each build in turn."""
    return builds[request.param]


def test_every_object_is_valid_by_the_schema_of_kubernetes(objects):
    for item in objects:
        kubernetes_validate.validate(item, "1.37", strict=True)


def test_every_object_belongs_to_the_stack_and_to_a_step_of_the_deployment(objects):
    script = (KUBERNETES / "scripts" / "deploy.sh").read_text()
    applied = set(re.findall(r"apply -k \"\$source\" -l kafka-to-search/step=([a-z-]+)", script))
    for item in objects:
        step = item["metadata"].get("labels", {}).get("kafka-to-search/step")
        assert step in applied, f"{item['kind']} {item['metadata']['name']} has the step {step}, which deploy.sh does not apply"
        assert item["metadata"]["labels"]["app.kubernetes.io/part-of"] == "kafka-to-search"


def test_every_step_of_the_deployment_has_objects(builds):
    """`kubectl apply` fails if its selector matches nothing."""
    script = (KUBERNETES / "scripts" / "deploy.sh").read_text()
    for step in re.findall(r"apply -k \"\$source\" -l kafka-to-search/step=([a-z-]+)", script):
        for name in OVERLAYS:
            if (step, name) != ("functions", "production"):  # production skips this step
                steps = {item["metadata"]["labels"]["kafka-to-search/step"] for item in builds[name]}
                assert step in steps, f"{name} has no objects for {step}"


def test_images_are_pinned_in_one_place(objects):
    pins = {
        image.get("newName", image["name"]): image["newTag"]
        for folder in ("base", "overlays/dev")
        for image in yaml.safe_load((KUBERNETES / folder / "kustomization.yaml").read_text())["images"]
    }
    used = set()
    for workload in workloads(objects):
        for container in containers(workload):
            # A digest may follow the tag: scripts/digests.py.
            name, _, tag = container["image"].partition("@")[0].rpartition(":")
            assert pins[name] == tag
            assert re.search(r"\d+\.\d+", tag), f"{container['image']} has no version"
            used.add(name)
    unused = {f"kafka-to-search/{name}" for name in ("localstack", "kafka-poller", "event-producer")} - used
    assert used | unused == pins.keys()


def test_no_image_is_pinned_differently_anywhere_else():
    pins = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())["images"]
    for path in [*KUBERNETES.glob("*/**/*.yaml"), *KUBERNETES.glob("*/*.yaml")]:
        if path.parent.name == "tests" or path == KUBERNETES / "base" / "kustomization.yaml":
            continue
        # kustomize gives the pins of the base to its own containers, so a component repeats those of what it adds.
        for image in (yaml.safe_load(path.read_text()) or {}).get("images", []) if path.name == "kustomization.yaml" else []:
            assert image["name"].startswith("kafka-to-search/") or image in pins, f"{path.relative_to(KUBERNETES)}: {image}"
        for image in re.findall(r"^\s*(?:- )?image:\s*(\S+)", path.read_text(), re.MULTILINE):
            assert ":" not in image and "@" not in image, f"{path.relative_to(KUBERNETES)} pins {image}"


def test_pods_are_restricted(objects):
    """The restricted Pod Security Standard, which the namespace enforces, and a read-only root file system."""
    for workload in workloads(objects):
        spec = workload["spec"]["template"]["spec"]
        where = workload["metadata"]["name"]
        assert spec["securityContext"]["runAsNonRoot"] is True, where
        assert spec["securityContext"]["runAsUser"] >= 900, where
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}, where
        assert all(
            volume.keys() & {"configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected"}
            for volume in spec.get("volumes", [])
        )
        for container in containers(workload):
            context = container["securityContext"]
            assert context == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, f"{where}/{container['name']}"
            assert not any("hostPort" in port for port in container.get("ports", []))
    namespace = named(objects, "Namespace", "demo-micro")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_container_has_requests_and_limits(objects):
    for workload in workloads(objects):
        for container in containers(workload):
            resources = container["resources"]
            for kind in ("requests", "limits"):
                assert resources[kind].keys() == {"cpu", "memory"}, f"{workload['metadata']['name']}/{container['name']}"
            for name in ("cpu", "memory"):
                assert quantity(resources["requests"][name]) <= quantity(resources["limits"][name])


def test_every_server_has_probes_on_ports_it_opens(objects):
    for workload in workloads(objects):
        if workload["kind"] == "Job":
            assert workload["spec"]["activeDeadlineSeconds"] > 0 and workload["spec"]["backoffLimit"] > 0
            continue
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        if container["name"] in WITHOUT_PROBES:
            assert "ports" not in container
            continue
        assert "readinessProbe" in container, container["name"]
        assert ("livenessProbe" in container) != (container["name"] in WITHOUT_LIVENESS), container["name"]
        ports = {port["name"] for port in container.get("ports", [])}
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container.get(kind, {})
            for how in ("httpGet", "tcpSocket"):
                assert how not in probe or probe[how]["port"] in ports, f"{container['name']} {kind}"


def test_only_the_jobs_that_write_secrets_get_a_token(objects):
    for workload in workloads(objects):
        spec = workload["spec"]["template"]["spec"]
        if workload["metadata"]["name"] in ("stack-secrets", "elasticsearch-setup", *CRON_JOBS):
            assert spec["serviceAccountName"] in ("secrets-writer", "api-keys-writer")
            assert labels(workload)["kafka-to-search/kubernetes-client"] == "true"
        else:
            assert spec["automountServiceAccountToken"] is False
            assert "serviceAccountName" not in spec
            assert "kafka-to-search/kubernetes-client" not in labels(workload)
    for account in ("secrets-writer", "api-keys-writer"):
        rules = named(objects, "Role", account)["rules"]
        assert all(rule["resources"] == ["secrets"] for rule in rules)
        assert {verb for rule in rules if "resourceNames" not in rule for verb in rule["verbs"]} == {"create"}
    for rule in named(objects, "Role", "workload-restarter")["rules"]:
        assert rule["verbs"] == ["patch"]
        kind = {"statefulsets": "StatefulSet", "deployments": "Deployment"}[rule["resources"][0]]
        for name in set(rule["resourceNames"]) - {"stack-metrics"}:  # of components/prometheus
            named(objects, kind, name)


def test_certificates_and_keys_are_renewed_without_a_deployment(objects):
    """Each CronJob has the pods of a Job of deploy.sh, and runs often enough for the days that are left at a renewal."""
    for name, job in CRON_JOBS.items():
        cron = named(objects, "CronJob", name)["spec"]
        assert cron["concurrencyPolicy"] == "Forbid"
        # Each Sunday. A controller that was down makes up for it within a day.
        assert re.fullmatch(r"\d+ \d+ \* \* 0", cron["schedule"]) and cron["startingDeadlineSeconds"] == 86_400
        mine = cron["jobTemplate"]["spec"]["template"]
        other = named(objects, "Job", job)["spec"]["template"]
        assert mine["spec"] == other["spec"]
        assert {**labels_of(mine), "app.kubernetes.io/name": job} == labels_of(other)


def labels_of(template: dict) -> dict[str, str]:
    """The labels of a pod template."""
    return template["metadata"]["labels"]


def test_events_outlive_their_records(builds):
    """CHOOSING.md: reading a record again would bring a deleted index back, so Kafka keeps it for less time."""
    for name, objects in builds.items():
        hours = int(re.search(r"log\.retention\.hours=(\d+)", files_of(objects, "kafka-configuration")["server.properties"])[1])
        settings = files_of(objects, "provision-cluster")
        setup = options(objects, "Job", "elasticsearch-setup")
        for days in (settings["RETENTION_DAYS"], settings["DEAD_LETTER_RETENTION_DAYS"], setup["RETENTION_DAYS"]):
            assert int(days) * 24 > hours + 24, name


def test_the_host_name_of_every_replica_is_in_its_certificate(builds):
    import sys

    sys.path.insert(0, str(KUBERNETES / "base" / "jobs"))
    import stack_secrets

    for name, nodes in (("kafka", stack_secrets.KAFKA_NODES), ("elasticsearch", stack_secrets.ELASTICSEARCH_NODES)):
        stateful_set = named(builds["production"], "StatefulSet", name)["spec"]
        assert stateful_set["replicas"] == nodes
        for node in range(nodes):
            assert f"{name}-{node}.{stateful_set['serviceName']}" in stack_secrets.CERTIFICATES[name]


def test_every_address_that_kafka_advertises_resolves_in_other_namespaces(builds):
    """Inside its own namespace, Kubernetes resolves SERVICE; elsewhere it takes SERVICE.NAMESPACE.svc at least."""
    import sys

    sys.path.insert(0, str(KUBERNETES / "base" / "jobs"))
    import stack_secrets

    for name, objects in builds.items():
        kafka = files_of(objects, "kafka-configuration")
        advertised = re.search(r"^advertised\.listeners=(.*)", kafka["security.properties"], re.MULTILINE)[1]
        (internal,) = re.findall(r"INTERNAL://([^:]+):29092", advertised)
        (container,) = named(objects, "StatefulSet", "kafka")["spec"]["template"]["spec"]["containers"]
        fields = {each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"] for each in container["env"] if "fieldRef" in
                  each.get("valueFrom", {})}  # fmt: skip
        assert fields == {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}, name
        assert internal == "@POD@.kafka-headless.@NAMESPACE@.svc"
        hosts = stack_secrets.all_names(stack_secrets.CERTIFICATES["kafka"], "team-a")
        for node in range(stack_secrets.KAFKA_NODES):
            assert internal.replace("@POD@", f"kafka-{node}").replace("@NAMESPACE@", "team-a") in hosts
        assert "kafka.team-a.svc" in hosts


def test_no_secret_is_in_git(objects):
    assert not [item for item in objects if item["kind"] == "Secret"]
    for workload in workloads(objects):
        for container in containers(workload):
            for entry in container.get("env", []):
                if POSSIBLE_SECRET.search(entry["name"]) and "value" in entry:
                    # LocalStack accepts any credentials. `test` is the example in its documentation.
                    assert entry["name"].startswith("AWS_") and entry["value"] == "test", (
                        f"{container['name']}: {entry['name']}"
                    )
    for item in objects:
        if item["kind"] == "ConfigMap":
            for name, text in item["data"].items():
                for line in text.splitlines():
                    found = re.search(r"""password\s*(?:=>|=|:)\s*["']?([^\s"'$%,)=>]+)""", line)
                    assert not found or name.endswith(".py"), f"{item['metadata']['name']}/{name}: {line}"
                    assert "BEGIN PRIVATE KEY" not in line and "BEGIN EC PRIVATE KEY" not in line


def test_services_target_ports_of_pods(objects):
    for service in (item for item in objects if item["kind"] == "Service"):
        (workload,) = (
            item for item in workloads(objects) if service["spec"]["selector"].items() <= labels(item).items()
        )  # fmt: skip
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"], f"{service['metadata']['name']}: {port}"
        assert service["spec"].get("type", "ClusterIP") == "ClusterIP"


def test_stateful_sets_name_a_headless_service_that_selects_them(objects):
    for item in objects:
        if item["kind"] == "StatefulSet":
            service = named(objects, "Service", item["spec"]["serviceName"])
            assert service["spec"]["clusterIP"] == "None", f"{item['metadata']['name']}: its pods have no names of their own"
            assert service["spec"]["selector"].items() <= labels(item).items()
        if item["kind"] in ("StatefulSet", "Deployment"):
            assert item["spec"]["selector"]["matchLabels"].items() <= labels(item).items()


def test_network_policies_deny_everything_by_default(objects):
    policies = [item for item in objects if item["kind"] == "NetworkPolicy"]
    deny = named(policies, "NetworkPolicy", "default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in policies:
        selector = policy["spec"]["podSelector"]
        if policy["metadata"]["name"] in ("default-deny", "dns") or policy["metadata"]["name"].endswith("-client"):
            continue
        assert [item for item in workloads(objects) if selects(selector, labels(item))], policy["metadata"]["name"]


def test_network_policies_open_the_ports_that_are_used(objects):
    """Each configured address is reachable: egress of the pod, ingress of the target, and a port of the Service."""
    for workload in workloads(objects):
        for container in containers(workload):
            for host, port in addresses(container):
                service = named(objects, "Service", host)
                (target,) = (item for item in workloads(objects) if service["spec"]["selector"].items() <= labels(item).items())
                assert port in [entry["port"] for entry in service["spec"]["ports"]], f"{host}:{port}"
                if target is workload:
                    continue
                for direction, mine, other in (("egress", workload, target), ("ingress", target, workload)):
                    assert allowed(objects, direction, labels(mine), labels(other), port), (
                        f"{direction} from {workload['metadata']['name']} to {host}:{port} is not allowed"
                    )


def test_network_policies_deny_what_is_not_used(objects):
    of = {item["metadata"]["name"]: labels(item) for item in workloads(objects)}
    refused = [
        ("redis", "kafka", 29092), ("kibana", "kafka", 29092), ("redis", "elasticsearch", 9200),
        ("kafka", "elasticsearch", 9200), ("logstash", "kafka", 9093), ("logstash", "elasticsearch", 9300),
        ("logstash", "redis", 6379), ("kafka-topics", "kafka", 9093), ("logstash", "kibana", 5601),
    ]  # fmt: skip
    for source, target, port in refused:
        assert not allowed(objects, "ingress", of[target], of[source], port), f"{source} reaches {target}:{port}"


def test_the_jobs_reach_the_kubernetes_api_at_every_common_port(objects):
    """443: the Service; 6443: kubeadm, kind, k3s, clouds; 8443: minikube. Policies see the address behind the Service."""
    policy = named(objects, "NetworkPolicy", "kubernetes-client")["spec"]
    (rule,) = policy["egress"]
    assert {each["port"] for each in rule["ports"]} == {443, 6443, 8443}


def test_the_audit_log_of_kibana_fills_no_volume(builds):
    """Kibana's default is a file under its data folder; appender.type and appender.layout.type send it to the console."""
    variables = options(builds["production"], "Deployment", "kibana")
    assert variables["XPACK_SECURITY_AUDIT_ENABLED"] == "true"
    assert variables["XPACK_SECURITY_AUDIT_APPENDER_TYPE"] == "console"
    assert variables["XPACK_SECURITY_AUDIT_APPENDER_LAYOUT_TYPE"] == "json"


def test_nodes_reach_each_other(objects):
    for name, port in (("kafka", 9093), ("kafka", 29092), ("elasticsearch", 9300)):
        mine = labels(named(objects, "StatefulSet", name))
        assert allowed(objects, "ingress", mine, mine, port) and allowed(objects, "egress", mine, mine, port)


def test_logstash_is_configured_as_documented(objects):
    logstash = named(objects, "StatefulSet", "logstash")["spec"]["template"]["spec"]
    assert [container["name"] for container in logstash["initContainers"]] == ["wait-for-kafka", "wait-for-elasticsearch"]
    (container,) = logstash["containers"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"beats": 5044, "tcp": 50000, "http": 9600}
    assert container["resources"] == {
        "requests": {"memory": "768Mi", "cpu": "500m"},
        "limits": {"memory": "1536Mi", "cpu": "1000m"},
    }
    assert options(objects)["LS_JAVA_OPTS"] == "-Xmx512m -Xms512m"
    settings = files_of(objects, "logstash-settings")
    (main, dead_letters) = pipeline_settings(objects)
    assert (main["pipeline.workers"], main["pipeline.batch.size"], main["pipeline.batch.delay"]) == (2, 125, 50)
    assert main["queue.type"] == "persisted" and main["dead_letter_queue.enable"] is True
    assert dead_letters["pipeline.id"] == "dead-letters"
    assert yaml.safe_load(settings["logstash.yml"])["config.reload.automatic"] is True
    # Both queues are on the volume, which is large enough for their maximum sizes.
    (claim,) = named(objects, "StatefulSet", "logstash")["spec"]["volumeClaimTemplates"]
    needed = quantity(main["queue.max_bytes"].upper().replace("GB", "Gi")) + quantity("512Mi")
    assert quantity(claim["spec"]["resources"]["requests"]["storage"]) > needed
    # The startup probe allows at least the 180 s that deploy.sh waits.
    startup = container["startupProbe"]
    assert startup["initialDelaySeconds"] + startup["periodSeconds"] * startup["failureThreshold"] >= 180


def test_a_crashed_pipeline_is_started_again_and_the_probe_waits_for_every_pipeline(objects):
    settings = files_of(objects, "logstash-settings")
    pipelines = pipeline_settings(objects)
    assert yaml.safe_load(settings["logstash.yml"])["config.reload.automatic"] is True
    for pipeline in pipelines:
        # auto means: with a persisted queue.
        assert (pipeline["pipeline.recoverable"], pipeline["queue.type"]) == ("auto", "persisted")
    (container,) = named(objects, "StatefulSet", "logstash")["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["exec"]["command"][-1].endswith(f"-eq {len(pipelines)}")


def test_the_batches_of_logstash_fit_into_its_heap(objects):
    """A batch never spans two pages of the queue (Queue.java, `readPageBatch`), so a worker reads a page at most.

    Logstash holds an event about four times: the element of the queue, its text, its fields, and the body of the request.
    """
    pipelines = pipeline_settings(objects)
    kafka = files_of(objects, "kafka-configuration")
    largest = int(re.search(r"^message\.max\.bytes=(\d+)$", kafka["server.properties"], re.MULTILINE)[1])
    heap = quantity(re.search(r"-Xmx(\d+[mg])", options(objects)["LS_JAVA_OPTS"])[1].replace("m", "Mi").replace("g", "Gi"))
    pages = {}
    for pipeline in pipelines:
        pages[pipeline["pipeline.id"]] = quantity(pipeline["queue.page_capacity"].replace("mb", "Mi"))
    read = sum(int(pipeline["pipeline.workers"]) * pages[pipeline["pipeline.id"]] for pipeline in pipelines)
    assert 4 * read <= 0.75 * heap
    # Bytes from 128 take two bytes in the queue, and an element larger than a page stops the pipeline.
    assert pages["main"] >= 2 * largest + quantity("1Mi")
    # As fields, as bytes, and in the reason, where a control character takes six bytes.
    assert pages["dead-letters"] >= (2 + 6) * largest


# The settings that the image's entrypoint writes into logstash.yml if a variable has their name, whatever its dots, underscores
# and case: Env2Yaml.java of Logstash 9.5 lists them. The file is read-only here, so such a variable stops the container.
ENTRYPOINT = re.compile(
    r"api|node|path|pipeline|config|queue|deadletterqueue|log(?!stash)|metric|monitoring|xpack|otel|ssl|allowsuperuser"
)


def test_no_variable_of_logstash_stops_its_entrypoint(objects):
    (container,) = named(objects, "StatefulSet", "logstash")["spec"]["template"]["spec"]["containers"]
    for entry in container["env"]:
        assert not ENTRYPOINT.match(entry["name"].lower().replace("_", "")), entry["name"]


def test_the_documented_tuning_reaches_logstash_and_restarts_its_pods(tmp_path):
    """The three variables of the original, in an overlay of one's own; each change gives the pods another template."""
    templates = []
    for values in (("2", "125", "50"), ("6", "400", "10")):
        names = ("PIPELINE_WORKERS", "PIPELINE_BATCH_SIZE", "PIPELINE_BATCH_DELAY")
        literals = [f"{name}={value}" for name, value in zip(names, values, strict=True)]
        overlay = {
            # kustomize takes no absolute paths.
            "resources": [os.path.relpath(KUBERNETES / "overlays" / "dev", tmp_path.resolve())],
            "namespace": "demo-micro",
            "configMapGenerator": [{"name": "logstash-tuning", "behavior": "merge", "literals": literals}],
        }
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        objects = build(tmp_path)
        main, dead_letters = pipeline_settings(objects)
        found = [str(main[f"pipeline.{name}"]) for name in ("workers", "batch.size", "batch.delay")]
        assert found == list(values)
        assert dead_letters["pipeline.workers"] == 1
        templates.append(named(objects, "StatefulSet", "logstash")["spec"]["template"])
    assert templates[0] != templates[1]


def test_a_changed_setting_of_logstash_restarts_its_pods(objects):
    """Kubernetes never updates a subPath mount, so the name of the ConfigMap must change with its content."""
    spec = named(objects, "StatefulSet", "logstash")["spec"]["template"]["spec"]
    (volume,) = (volume for volume in spec["volumes"] if volume["name"] == "settings")
    assert re.fullmatch(r"logstash-settings-[a-z0-9]{10}", volume["configMap"]["name"])
    used = {mount["subPath"] for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "settings"}
    assert used == files_of(objects, "logstash-settings").keys()


def test_a_changed_pipeline_reaches_a_running_pod(objects):
    (container,) = named(objects, "StatefulSet", "logstash")["spec"]["template"]["spec"]["containers"]
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "pipeline")
    assert "subPath" not in mount, "Kubernetes never updates a subPath mount"
    assert mount["mountPath"] == "/usr/share/logstash/pipeline"


def test_mounted_volumes_exist(objects):
    maps = {item["metadata"]["name"]: item["data"] for item in objects if item["kind"] == "ConfigMap"}
    for workload in workloads(objects):
        spec = workload["spec"]["template"]["spec"]
        claims = [claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])]
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        for container in containers(workload):
            for mount in container.get("volumeMounts", []):
                assert mount["name"] in volumes or mount["name"] in claims, f"{container['name']}: {mount}"
            for argument in container.get("command", []):
                found = re.fullmatch(r"(/jobs|/etc/kafka/stack)/([\w.-]+)", argument)
                if found:
                    (mount,) = (mount for mount in container["volumeMounts"] if mount["mountPath"] == found[1])
                    assert found[2] in maps[volumes[mount["name"]]["configMap"]["name"]], argument
        for volume in volumes.values():
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps


def test_the_provisioned_templates_match_the_written_indices(builds):
    source = (REPOSITORY / "functions" / "provision-cluster" / "src" / "settings.rs").read_text()
    properties = re.findall(r'^    "(\w+)",$', re.search(r"PROPERTIES: .*? = \[(.*?)\];", source, re.DOTALL)[1], re.MULTILINE)
    known = {re.sub(r"(?<!^)([A-Z])", r"_\1", name).upper() for name in properties} | {"SEARCH_ENGINE"}
    for name, objects in builds.items():
        job = named(objects, "Job", "provision-cluster")["spec"]["template"]["spec"]
        (settings,) = (
            item["data"] for item in objects
            if item["kind"] == "ConfigMap" and item["metadata"]["name"].startswith("provision-cluster")
        )  # fmt: skip
        assert settings.keys() <= known, f"{name}: {settings.keys() - known}: not a setting of provision-cluster"
        assert settings["SEARCH_ENGINE"] == "elasticsearch"
        assert int(settings["FORCE_MERGE_AFTER_DAYS"]) < int(settings["RETENTION_DAYS"])
        # The templates match the indices that Logstash and the functions write.
        outputs = [plugin.options["index"] for file in ("logstash.conf", "dead-letters.conf")
                   for plugin in parse((ELK / "logstash" / "pipeline" / file).read_text()).plugins("output")]  # fmt: skip
        for prefix in ("INDEX_PREFIX", "DEAD_LETTER_PREFIX"):
            assert f"{settings[prefix]}-%{{+YYYY.MM.dd}}" in outputs
        early = next(each for each in job["initContainers"] if each["name"] == "provision-elasticsearch")
        (late,) = job["containers"]
        assert early["args"] == late["args"] == ["apply"] and early["envFrom"] == late["envFrom"]
        (reference,) = late["envFrom"]
        assert reference["configMapRef"]["name"].startswith("provision-cluster-"), "a changed setting must change the name"
        variables = {each["name"]: each.get("value") for each in late["env"]}
        scheme = "https" if name == "production" else "http"
        assert variables.pop("DASHBOARDS_ENDPOINT") == f"{scheme}://kibana:5601"
        assert variables == {each["name"]: each.get("value") for each in early["env"]}, "the steps differ in more than Kibana"
        assert variables["SEARCH_ENDPOINT"] == f"{scheme}://elasticsearch:9200"
        assert variables["SEARCH_PLAINTEXT"] == ("refuse" if scheme == "https" else "allow")


def test_topics_feed_every_consumer_thread(builds):
    for name, objects in builds.items():
        job = options(objects, "Job", "kafka-topics")
        assert int(job["PARTITIONS"]) == PARTITIONS[name]
        assert job["TOPICS"].split() == ["order.events", "inventory.events", "notification.events"]
        most = 1
        for item in objects:
            if item["kind"] == "HorizontalPodAutoscaler":
                assert item["spec"]["scaleTargetRef"]["name"] == "logstash"
                most = item["spec"]["maxReplicas"]
        assert most * 3 <= int(job["PARTITIONS"]), "some of Logstash's threads would be idle"


def test_production_is_highly_available(builds):
    objects = builds["production"]
    budgets = {item["metadata"]["name"]: item["spec"] for item in objects if item["kind"] == "PodDisruptionBudget"}
    for name in ("kafka", "elasticsearch", "logstash", "kibana"):
        kind = "Deployment" if name == "kibana" else "StatefulSet"
        assert selects(budgets[name]["selector"], labels(named(objects, kind, name)))
        assert budgets[name]["maxUnavailable"] == 1
        evicted = "AlwaysAllow" if name in ("logstash", "kibana") else "IfHealthyBudget"
        assert budgets[name]["unhealthyPodEvictionPolicy"] == evicted
    for name in ("kafka", "elasticsearch"):
        item = named(objects, "StatefulSet", name)
        assert item["spec"]["replicas"] == 3
        (rule,) = item["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        assert selects(rule["labelSelector"], labels(item)) and rule["topologyKey"] == "kubernetes.io/hostname"
    job = options(objects, "Job", "kafka-topics")
    assert (job["REPLICATION_FACTOR"], job["MIN_INSYNC_REPLICAS"]) == ("3", "2")
    assert "replicas" not in named(objects, "StatefulSet", "logstash")["spec"], "the autoscaler sets the replicas"


def test_dev_shows_events(builds):
    """The options of the sample producer are those of event-producer's command line."""
    producer = named(builds["dev"], "Deployment", "sample-producer")["spec"]["template"]["spec"]["containers"][0]
    source = (REPOSITORY / "localstack" / "event-producer" / "src" / "main.rs").read_text()
    options = [word for word in producer["args"] if word.startswith("--")]
    assert producer["args"][0] == "generate" and len(options) == 3
    for option in options:
        assert re.search(rf"^    {option.removeprefix('--').replace('-', '_')}: ", source, re.MULTILINE), option
    assert 'env = "KAFKA_BOOTSTRAP_SERVERS"' in source
    assert "sample-producer" not in {item["metadata"]["name"] for item in builds["production"]}


def test_production_has_no_localstack(builds):
    names = {item["metadata"]["name"] for item in builds["production"]}
    assert not names & {"localstack", "kafka-poller", "localstack-client"}


def test_production_uses_tls_everywhere(builds):
    for workload in workloads(builds["production"]):
        for container in containers(workload):
            text = json.dumps(container)
            assert "http://" not in text and "kafka://" not in text.replace("kafkas://", ""), container["name"]
    maps = {item["metadata"]["name"]: item["data"] for item in builds["production"] if item["kind"] == "ConfigMap"}
    (kafka,) = (data for name, data in maps.items() if name.startswith("kafka-configuration"))
    assert "PLAINTEXT" not in kafka["security.properties"] + kafka["client.properties"]
    (elasticsearch,) = (data for name, data in maps.items() if name.startswith("elasticsearch-configuration"))
    settings = yaml.safe_load(elasticsearch["elasticsearch.yml"])
    assert settings["xpack.security.http.ssl"]["enabled"] and settings["xpack.security.transport.ssl"]["enabled"]
    assert settings["xpack.security.audit.enabled"] is True
    assert len(settings["discovery.seed_hosts"]) == len(settings["cluster.initial_master_nodes"]) == 3


def test_production_gives_logstash_no_elasticsearch_password(builds):
    environment = options(builds["production"])
    assert "ELASTIC_PASSWORD" not in environment and "ELASTICSEARCH_API_KEY" in environment


def test_the_quota_fits_the_largest_size_of_production(builds):
    needed, hard = quota(builds["production"])
    for name, amount in needed.items():
        assert amount <= quantity(hard[name]) <= 4 * amount, f"{name}: {amount:g} needed, {hard[name]} allowed"


def quota(objects: list[dict]) -> tuple[dict[str, float], dict[str, str]]:
    """What the objects need at their largest size, and the quota."""
    needed = dict.fromkeys(("requests.cpu", "requests.memory", "limits.cpu", "limits.memory", "requests.storage", "pods"), 0.0)
    needed["persistentvolumeclaims"] = 0
    scalers = {
        item["metadata"]["name"]: item["spec"].get("maxReplicas", item["spec"].get("maxReplicaCount"))
        for item in objects if item["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
    }  # fmt: skip
    for workload in workloads(objects):
        pods = scalers.get(workload["metadata"]["name"], workload["spec"].get("replicas", 1))
        spec = workload["spec"]["template"]["spec"]
        needed["pods"] += pods
        for kind in ("requests", "limits"):
            for name in ("cpu", "memory"):
                run = sum(quantity(container["resources"][kind][name]) for container in spec["containers"])
                before = max((quantity(item["resources"][kind][name]) for item in spec.get("initContainers", [])), default=0)
                needed[f"{kind}.{name}"] += pods * max(run, before)
        for claim in workload["spec"].get("volumeClaimTemplates", []):
            needed["requests.storage"] += pods * quantity(claim["spec"]["resources"]["requests"]["storage"])
            needed["persistentvolumeclaims"] += pods
    return needed, named(objects, "ResourceQuota", "stack")["spec"]["hard"]


def test_limits_fit_the_limit_range(objects):
    (limit,) = named(objects, "LimitRange", "defaults")["spec"]["limits"]
    for workload in workloads(objects):
        for container in containers(workload):
            for name in ("cpu", "memory"):
                assert quantity(container["resources"]["limits"][name]) <= quantity(limit["max"][name])


def test_dockerfiles_copy_what_exists():
    for dockerfile in KUBERNETES.glob("images/*/Dockerfile"):
        text = dockerfile.read_text()
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
            for source in sources.split():
                assert (REPOSITORY / source).exists(), f"{dockerfile}: {source}"
        assert re.search(r"^USER 65532:65532$", text, re.MULTILINE)
        for image in re.findall(r"^FROM (\S+)", text, re.MULTILINE):
            assert re.search(r":\d+\.\d+", image), image
    wanted = re.search(r'^rust-version = "(\d+\.\d+)', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)[1]
    for image, package in (
        ("kafka-poller", "localstack/kafka-poller"), ("provision-cluster", "functions/provision-cluster"),
        ("replay-dead-letters", "functions/replay-dead-letters"), ("event-producer", "localstack/event-producer"),
    ):  # fmt: skip
        text = (KUBERNETES / "images" / image / "Dockerfile").read_text()
        rust = re.search(r"^FROM rust:(\d+\.\d+)", text, re.MULTILINE)[1]
        assert [int(part) for part in rust.split(".")] >= [int(part) for part in wanted.split(".")]
        manifest = tomllib.loads((REPOSITORY / package / "Cargo.toml").read_text())
        assert f"--package {manifest['package']['name']} " in text
        (binary,) = re.findall(r"^COPY --from=build /build/target/release/(\S+) ", text, re.MULTILINE)
        assert binary in {manifest["package"]["name"], *(each["name"] for each in manifest.get("bin", []))}
        for feature in re.findall(r"--features (\S+)", text):
            assert feature in manifest["features"]


def test_localstack_image_has_the_version_of_the_local_stack():
    versions = tomllib.loads((REPOSITORY / "localstack" / "servers" / "versions.toml").read_text())
    text = (KUBERNETES / "images" / "localstack" / "Dockerfile").read_text()
    for requirement in versions["environments"]["localstack"]:
        if not requirement.startswith("pytest"):
            assert f'"{requirement}"' in text
    kafka = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())["images"][0]
    assert (kafka["name"], kafka["newTag"]) == ("apache/kafka", versions["kafka"]["version"])


def addresses(container: dict) -> set[tuple[str, int]]:
    """Host and port of every server in the arguments and variables of a container."""
    texts = [*container.get("command", []), *container.get("args", [])]
    for probe in ("readinessProbe", "livenessProbe"):
        texts += container.get(probe, {}).get("exec", {}).get("command", [])
    texts += [entry["value"] for entry in container.get("env", []) if "value" in entry]
    found = set()
    for text in texts:
        for host, port in re.findall(r"\b([a-z][a-z0-9-]*):(\d{4,5})\b", text):
            if host not in ("localhost", "0.0.0.0"):
                found.add((host, int(port)))
    return found


def allowed(objects: list[dict], direction: str, mine: dict, other: dict, port: int) -> bool:
    """Whether a policy of my pod allows traffic on the port from the other pod (or to it)."""
    side = "from" if direction == "ingress" else "to"
    for policy in (item["spec"] for item in objects if item["kind"] == "NetworkPolicy"):
        if not selects(policy["podSelector"], mine):
            continue
        for rule in policy.get(direction, []):
            peers = rule.get(side)
            if peers is None and "kafka-to-search/kubernetes-client" not in mine:
                raise AssertionError("only rules for the Kubernetes API may omit the peer")
            here = [peer for peer in peers or [] if peer.keys() == {"podSelector"}]
            if any(selects(peer["podSelector"], other) for peer in here) and port in [item["port"] for item in rule["ports"]]:
                return True
    return False


def quantity(text: str) -> float:
    """Converts a Kubernetes quantity to a number."""
    number, unit = re.fullmatch(r"([\d.]+)([A-Za-z]*)", str(text)).groups()
    return float(number) * {"": 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}[unit]


def test_the_config_map_holds_the_files_of_infra_elk(builds):
    for name in ("base", "dev"):
        data = named(builds[name], "ConfigMap", "logstash-pipeline")["data"]
        for file, text in data.items():
            assert text == (ELK / "logstash" / "pipeline" / file).read_text()
    for name, text in files_of(builds["base"], "logstash-settings").items():
        heading, _, copied = text.partition("\n")
        assert heading.startswith("# Generated from infra/elk/logstash")
        assert copied == (ELK / "logstash" / "config" / name).read_text()
