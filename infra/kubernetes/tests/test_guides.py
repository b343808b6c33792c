"""The guides: every command names files, options and objects that exist, every query runs, every link leads somewhere.

Kafka's commands run in test_kafka.py, against the real brokers."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from functools import cache

import pytest
import yaml
from conftest import ELK, KUBERNETES, REPOSITORY, kubectl
from guides import GUIDES, commands, exists, headings, links, queries
from logstash.config import parse
from test_manifests import named

COMMANDS = commands()
STACK = [sys.executable, "-B", str(REPOSITORY / "localstack" / "servers" / "stack.py")]


def of(program: str) -> list:
    return [pytest.param(command, id=str(command)[:100]) for command in COMMANDS if command.words[0].endswith(program)]


def test_every_command_is_of_a_kind_that_is_checked():
    known = ("kubectl", "make", "docker", "deploy.sh", "verify.sh", "undeploy.sh", "kafka-poller", "event-producer")
    shortened = {"kafka-consumer-groups.sh", "kafka-topics.sh", "kafka-storage.sh"}  # named in passing, without a cluster
    for command in COMMANDS:
        program = command.words[0].rpartition("/")[2]
        assert program in known or program in shortened, command
    assert len(COMMANDS) > 50


@pytest.mark.parametrize("command", of("deploy.sh") + of("verify.sh"))
def test_scripts_have_the_options(command):
    script, *options = command.words
    usage = subprocess.run(["bash", str(REPOSITORY / script), "--help"], capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"^  (--[a-z-]+)", usage, re.MULTILINE))
    for option in options:
        assert option in known or option in ("dev", "production"), command


@pytest.mark.parametrize("command", of("make"))
def test_make_has_the_target(command):
    text = (KUBERNETES / "kubernetes.mk").read_text() + (REPOSITORY / "Makefile").read_text()
    for target in command.words[1:]:
        assert re.search(rf"^{target}:", text, re.MULTILINE), command


@pytest.mark.parametrize("command", of("docker"))
def test_docker_builds_what_the_stack_uses(command):
    words = command.words
    if "build" not in words:
        return
    assert exists(words[words.index("--file") + 1])
    tags = {
        f"{image['name']}:{image['newTag']}"
        for image in yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())["images"]
    }
    assert words[words.index("--tag") + 1] in tags


@cache
def flags(subcommand: tuple[str, ...]) -> str:
    """What the real kubectl says of a subcommand's options, and of those that all have."""
    told = subprocess.run([kubectl(), *subcommand, "--help"], capture_output=True, text=True, check=True).stdout
    return told + subprocess.run([kubectl(), "options"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("command", of("kubectl"))
def test_kubectl_has_the_options_and_the_cluster_the_objects(command, builds):
    words = list(command.words[1 : command.words.index("--")] if "--" in command.words else command.words[1:])
    objects = builds["dev"]
    if words[0] == "--namespace":
        assert named(objects, "Namespace", words[1])
        words = words[2:]
    subcommand = tuple(words[:2]) if words[0] in ("rollout",) else tuple(words[:1])
    told = flags(subcommand)
    rest = words[len(subcommand) :]
    for word in rest:
        if word.startswith("--"):
            assert re.search(rf"(?<![\w-]){re.escape(word.partition('=')[0])}\b", told), f"{command}: no option {word}"
        elif re.fullmatch(r"-[a-z]", word):
            assert f"{word}," in told, f"{command}: no option {word}"
    kinds = {"service": "Service", "deployment": "Deployment", "statefulset": "StatefulSet", "job": "Job", "secret": "Secret"}
    plain = [word for word in rest if not word.startswith("-")]
    for number, word in enumerate(plain):
        kind, _, name = word.partition("/")
        if kind in kinds and name:
            item = named(objects, kinds[kind], name)
            if subcommand == ("port-forward",):
                remote = int(plain[number + 1].partition(":")[2])
                assert remote in [port["port"] for port in item["spec"]["ports"]], command
        elif word in kinds and word != "secret" and number + 1 < len(plain):
            named(objects, kinds[word], plain[number + 1])
        elif re.fullmatch(r"[a-z]+-\d", word):
            stateful_set = named(objects, "StatefulSet", word.rpartition("-")[0])
            container = next((option.partition("=")[2] for option in rest if option.startswith("--container=")), None)
            spec = stateful_set["spec"]["template"]["spec"]
            assert container in [None, *(item["name"] for item in spec["containers"] + spec.get("initContainers", []))], command
        elif word.startswith("infra/"):
            assert exists(word), command
    if "secret" in rest:
        check_secret(rest[rest.index("secret") + 1], " ".join(rest))
    if "apply" in words or "diff" in words:
        assert "kafka-to-search/step=logstash-config" in rest


def check_secret(name: str, text: str) -> None:
    sys.path.insert(0, str(KUBERNETES / "base" / "jobs"))
    import stack_secrets

    assert re.search(r"\{\.data\.([\w-]+)\}", text)[1] in stack_secrets.PASSWORDS[name]


@pytest.mark.parametrize(
    "command", [item for item in of("kubectl") if item.values[0].inside and "curl" in " ".join(item.values[0].inside)]
)
def test_addresses_inside_the_pods_are_served_there(command, builds):
    pod = next(word for word in command.words if re.fullmatch(r"[a-z]+-\d", word))
    (container,) = named(builds["dev"], "StatefulSet", pod.rpartition("-")[0])["spec"]["template"]["spec"]["containers"]
    for port in re.findall(r"http://localhost:(\d+)", " ".join(command.inside)):
        assert int(port) in [entry["containerPort"] for entry in container["ports"]]
    for variable in re.findall(r"\$(\w+)", " ".join(command.inside)):
        assert variable in [entry["name"] for entry in container["env"]]


@pytest.fixture(scope="module")
def opensearch(tmp_path_factory):
    """A real OpenSearch, with the project's template and the documents that the parity fixtures expect."""
    folder = tmp_path_factory.mktemp("opensearch")
    environment = {**os.environ, "KAFKA_TO_SEARCH_STATE": str(folder)}
    stack = [*STACK]
    try:
        subprocess.run(
            [*stack, "start", "opensearch", "--instance", "guides", "--free-ports"], env=environment, check=True, timeout=400
        )
        told = subprocess.run(
            [*stack, "info", "--instance", "guides"], env=environment, check=True, capture_output=True, text=True
        )
        url = json.loads(told.stdout)["opensearch"]["endpoint"]
        template = (REPOSITORY / "infra" / "search" / "index-template.json").read_text()
        call(url, "PUT", "/_index_template/microservices", template)
        lines = []
        for path in sorted((REPOSITORY / "tests" / "fixtures" / "parity").glob("*.json")):
            expected = json.loads(path.read_text())["expected"]
            # Events of far-off days, and two forms of one field in one index, are no query's affair.
            if expected["index"].startswith("microservices-2026.03.") and not path.stem.startswith(
                ("own-trace-dotted", "clash-trace", "odd-names", "clash")
            ):
                lines += [{"create": {"_index": expected["index"], "_id": path.stem}}, expected["document"]]
        body = "".join(json.dumps(line) + "\n" for line in lines)
        answer = call(url, "POST", "/_bulk?refresh=true", body, "application/x-ndjson")
        assert not answer["errors"], [item for item in answer["items"] if item["create"]["status"] >= 300]
        yield url
    finally:
        subprocess.run([*stack, "stop", "--instance", "guides"], env=environment, check=True, timeout=120)


def call(url: str, method: str, path: str, body: str = "", kind: str = "application/json") -> dict:
    request = urllib.request.Request(
        url + path, method=method, data=body.encode() or None, headers={"Content-Type": kind}
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()[:2000]}") from error


@pytest.mark.live
def test_example_queries_find_what_they_promise(opensearch):
    answers = []
    for _, path, body in queries():
        # The fixtures are not of the last hours.
        body = re.sub(r"now-\d+h", "2026-01-01T00:00:00Z", body)
        answer = call(opensearch, "POST", path, body)
        assert answer["_shards"]["failed"] == 0
        answers.append(answer)
    orders, services, trace, partitions, tags = answers
    assert orders["hits"]["total"]["value"] > 30
    assert {bucket["key"] for bucket in services["aggregations"]["services"]["buckets"]} == {
        "order",
        "inventory",
        "notification",
    }
    assert trace["hits"]["total"]["value"] >= 3
    assert {bucket["key_as_string"] for bucket in partitions["aggregations"]["partitions"]["buckets"]} >= {"order.events|0"}
    assert {tag for hit in tags["hits"]["hits"] for tag in hit["_source"]["tags"]} <= {
        "_jsonparsefailure", "_timestampoutofrange", "vip",
    }  # fmt: skip
    assert tags["hits"]["total"]["value"] > 10


@pytest.mark.live
def test_queries_of_verify_find_documents(opensearch):
    script = (KUBERNETES / "scripts" / "verify.sh").read_text()
    path, body = re.search(r"elasticsearch '(/microservices-\*/_search[^']*)' \\\n\s+'([^']+)'", script).groups()
    assert call(opensearch, "POST", path, body)["hits"]["hits"][0]["_id"]
    by_order = re.search(r'elasticsearch \'(/[^\']*_id)\' \\\n\s+"(.*)" \|', script)
    body = by_order[2].replace("\\", "").replace("$id", "1001")
    assert call(opensearch, "POST", by_order[1], body)["hits"]["hits"]
    health = re.search(r"elasticsearch '(/_cluster/health[^']*)'", script)[1]
    assert call(opensearch, "GET", health)["status"] in ("green", "yellow")


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for source, target in links():
        if source == path:
            file, _, anchor = target.partition("#")
            place = (path.parent / file).resolve() if file else path
            assert place.exists(), f"{path.name}: {target}"
            assert not anchor or anchor in headings(place), f"{path.name}: {target}"


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_paths_in_the_guides_exist(path):
    for found in re.findall(r"`((?:infra|tests|localstack)[\w./-]+)`", path.read_text()):
        assert exists(found), f"{path.name}: {found}"


def test_versions_in_the_guides_are_the_pinned_ones():
    pins = {
        image["name"].rpartition("/")[2]: image["newTag"]
        for image in yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())["images"]
    }
    for path in GUIDES:
        for name, version in re.findall(r"\b(Kafka|Elasticsearch|Logstash|Kibana|Redis) (\d+(?:\.\d+)+)", path.read_text()):
            assert pins[name.lower()].startswith(version), f"{path.name}: {name} {version}"


def test_the_table_of_the_pipeline_tells_the_truth():
    text = (KUBERNETES / "docs" / "KAFKA-ELK-INTEGRATION.md").read_text()
    kafka = parse((ELK / "logstash" / "pipeline" / "logstash.conf").read_text()).plugins("input")[0].options
    main = yaml.safe_load((ELK / "logstash" / "config" / "pipelines.yml").read_text())[0]
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \|", text, re.MULTILINE)
    checked = 0
    for name, told in rows:
        actual = kafka.get(name, main.get(name))
        if actual is None:
            continue
        values = [str(value).lower() for value in (actual if isinstance(actual, list) else [actual])]
        for value in values:
            # The variable's default is what the table tells.
            value = re.sub(r"^\$\{\w+:(.*)\}$", r"\1", value)
            assert re.search(rf"(?<![\w.]){re.escape(value)}(?![\w.])", told), f"{name}: {told}"
        checked += 1
    assert checked >= 8
