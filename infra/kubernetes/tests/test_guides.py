"""The guides: commands use existing files, options and objects, queries run, and links have a target.

test_kafka.py runs Kafka's commands against real brokers.
"""

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
from conftest import ELK, KUBERNETES, OVERLAYS, REPOSITORY, kubectl, named
from guides import GUIDES, commands, exists, headings, links, queries
from logstash.config import parse

# The Job that the guide starts from the CronJob of the component replay.
REPLAY = "replay-1"
COMMANDS = commands()
STACK = [sys.executable, "-B", str(REPOSITORY / "localstack" / "servers" / "stack.py")]


def of(program: str) -> list:
    return [pytest.param(command, id=str(command)[:100]) for command in COMMANDS if command.words[0].endswith(program)]


def test_every_command_is_covered_by_a_test():
    known = ("kubectl", "make", "docker", "deploy.sh", "verify.sh", "undeploy.sh", "kafka-poller", "event-producer")
    shortened = {"kafka-consumer-groups.sh", "kafka-topics.sh", "kafka-storage.sh"}  # mentioned without a cluster
    for command in COMMANDS:
        program = command.words[0].rpartition("/")[2]
        assert program in known or program in shortened, command
    assert len(COMMANDS) > 50


@pytest.mark.parametrize("command", of("deploy.sh") + of("verify.sh"))
def test_scripts_have_the_options_of_the_guides(command):
    script, *options = command.words
    usage = subprocess.run(["bash", str(REPOSITORY / script), "--help"], capture_output=True, text=True, check=True).stdout
    # The options of the help, and whether each takes a value.
    known = dict(re.findall(r"^  (--[a-z-]+)( [A-Z-]+)?", usage, re.MULTILINE))
    for before, option in zip([script, *options], options, strict=False):
        assert option in known or (not option.startswith("--") and known.get(before)), command
    if "--overlay" in options:
        assert options[options.index("--overlay") + 1] in OVERLAYS


@pytest.mark.parametrize("command", of("make"))
def test_make_has_the_targets_of_the_guides(command):
    text = (KUBERNETES / "kubernetes.mk").read_text() + (REPOSITORY / "Makefile").read_text()
    for target in command.words[1:]:
        assert re.search(rf"^{target}:", text, re.MULTILINE), command


@pytest.mark.parametrize("command", of("docker"))
def test_docker_builds_the_images_of_the_stack(command):
    words = command.words
    if "build" not in words:
        return
    assert exists(words[words.index("--file") + 1])
    pins = [KUBERNETES / "base" / "kustomization.yaml", KUBERNETES / "components" / "replay" / "kustomization.yaml",
            KUBERNETES / "overlays" / "dev" / "kustomization.yaml"]  # fmt: skip
    tags = {
        f"{image['name']}:{image['newTag']}" for path in pins for image in yaml.safe_load(path.read_text())["images"]
    }  # fmt: skip
    assert words[words.index("--tag") + 1] in tags


@cache
def flags(subcommand: tuple[str, ...]) -> str:
    """The help of the real kubectl for the options of a subcommand and the global options."""
    help_text = subprocess.run([kubectl(), *subcommand, "--help"], capture_output=True, text=True, check=True).stdout
    return help_text + subprocess.run([kubectl(), "options"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("command", of("kubectl"))
def test_kubectl_commands_use_existing_options_and_objects(command, builds):
    words = list(command.words[1 : command.words.index("--")] if "--" in command.words else command.words[1:])
    objects = builds["dev"]
    if words[0] == "--namespace":
        assert named(objects, "Namespace", words[1])
        words = words[2:]
    subcommand = tuple(words[:2]) if words[0] in ("rollout", "create") else tuple(words[:1])
    known = flags(subcommand)
    rest = words[len(subcommand) :]
    for word in rest:
        if word.startswith("--"):
            assert re.search(rf"(?<![\w-]){re.escape(word.partition('=')[0])}\b", known), f"{command}: no option {word}"
        elif re.fullmatch(r"-[a-z]", word):
            assert f"{word}," in known, f"{command}: no option {word}"
    kinds = {"service": "Service", "deployment": "Deployment", "statefulset": "StatefulSet", "job": "Job", "secret": "Secret"}
    plain = [word for word in rest if not word.startswith("-")]
    for number, word in enumerate(plain):
        kind, _, name = word.partition("/")
        if word == f"job/{REPLAY}" or (subcommand == ("create", "job") and plain == [REPLAY]):
            continue
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
    for option in rest:
        if option.startswith("--from="):
            kind, _, name = option.removeprefix("--from=").partition("/")
            cron = yaml.safe_load((KUBERNETES / "components" / "replay" / "replay.yaml").read_text())
            assert (kind, name) == ("cronjob", cron["metadata"]["name"]), command
    if "secret" in rest and subcommand == ("delete",):
        sys.path.insert(0, str(KUBERNETES / "base" / "jobs"))
        import stack_secrets

        assert set(rest[1:]) == {*stack_secrets.FORMER, "elasticsearch-api-keys"}, command
    elif "secret" in rest:
        check_secret(rest[rest.index("secret") + 1], " ".join(rest))
    if "diff" in words:
        assert "kafka-to-search/step=logstash-config" in rest


def check_secret(name: str, text: str) -> None:
    sys.path.insert(0, str(KUBERNETES / "base" / "jobs"))
    import stack_secrets

    assert re.search(r"\{\.data\.([\w-]+)\}", text)[1] in stack_secrets.PASSWORDS[name]


@pytest.mark.parametrize(
    "command", [item for item in of("kubectl") if item.values[0].inside and "curl" in " ".join(item.values[0].inside)]
)
def test_commands_inside_pods_use_existing_ports_and_variables(command, builds):
    pod = next(word for word in command.words if re.fullmatch(r"[a-z]+-\d", word))
    (container,) = named(builds["dev"], "StatefulSet", pod.rpartition("-")[0])["spec"]["template"]["spec"]["containers"]
    for port in re.findall(r"http://localhost:(\d+)", " ".join(command.inside)):
        assert int(port) in [entry["containerPort"] for entry in container["ports"]]
    for variable in re.findall(r"\$(\w+)", " ".join(command.inside)):
        assert variable in [entry["name"] for entry in container["env"]]


@pytest.fixture(scope="module")
def opensearch(tmp_path_factory):
    """A real OpenSearch with the project's template and the expected documents of the parity fixtures."""
    folder = tmp_path_factory.mktemp("opensearch")
    environment = {**os.environ, "KAFKA_TO_SEARCH_STATE": str(folder)}
    try:
        subprocess.run(
            [*STACK, "start", "opensearch", "--instance", "guides", "--free-ports"], env=environment, check=True, timeout=400
        )
        info = subprocess.run(
            [*STACK, "info", "--instance", "guides"], env=environment, check=True, capture_output=True, text=True
        )
        url = json.loads(info.stdout)["opensearch"]["endpoint"]
        template = (REPOSITORY / "infra" / "search" / "index-template.json").read_text()
        call(url, "PUT", "/_index_template/microservices", template)
        documents = []
        for path in sorted((REPOSITORY / "tests" / "fixtures" / "parity").glob("*.json")):
            expected = json.loads(path.read_text())["expected"]
            # Skip documents of other days, and names that the engine takes in no index.
            if expected["index"].startswith("microservices-2026.03.") and path.stem != "odd-names":
                documents.append((path.stem, expected["index"], expected["document"]))
        index_in_rounds(url, documents)
        yield url
    finally:
        subprocess.run([*STACK, "stop", "--instance", "guides"], env=environment, check=True, timeout=120)


def index_in_rounds(url: str, documents: list[tuple[str, str, dict]]) -> None:
    """Indexes documents whose fields have conflicting types, which the function would rescue.

    Those that an index rejects go to another index of the same day. Each round stores the first of them at least.
    """
    n_rounds = 0
    while documents:
        n_rounds += 1
        lines = []
        for name, index, document in documents:
            lines += [{"create": {"_index": f"{index}-{n_rounds}", "_id": name}}, document]
        body = "".join(json.dumps(line) + "\n" for line in lines)
        items = call(url, "POST", "/_bulk?refresh=true", body, "application/x-ndjson")["items"]
        statuses = [item["create"]["status"] for item in items]
        assert set(statuses) <= {201, 400} and statuses[0] == 201, (documents[0], items[0])
        documents = [document for document, status in zip(documents, statuses, strict=True) if status == 400]


def call(url: str, method: str, path: str, body: str = "", kind: str = "application/json") -> dict:
    request = urllib.request.Request(
        url + path, method=method, data=body.encode() or None, headers={"Content-Type": kind}
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()[:2000]}") from error


@pytest.mark.live
def test_example_queries_find_the_expected_documents(opensearch):
    results = []
    for _, path, body in queries():
        # The fixtures are older than the time range of the queries.
        body = re.sub(r"now-\d+h", "2026-01-01T00:00:00Z", body)
        result = call(opensearch, "POST", path, body)
        assert result["_shards"]["failed"] == 0
        results.append(result)
    orders, services, trace, partitions, tags = results
    assert orders["hits"]["total"]["value"] > 30
    assert {bucket["key"] for bucket in services["aggregations"]["services"]["buckets"]} == {
        "order",
        "inventory",
        "notification",
    }
    assert trace["hits"]["total"]["value"] >= 3
    assert {bucket["key_as_string"] for bucket in partitions["aggregations"]["partitions"]["buckets"]} >= {"order.events|0"}
    assert {tag for hit in tags["hits"]["hits"] for tag in hit["_source"]["tags"]} <= {
        "_jsonparsefailure", "_timestampoutofrange", "_timestampunparsed", "_duplicatekey", "_nonfinite", "vip",
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
def test_links_have_a_target(path):
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


def test_the_summary_names_a_place_for_every_statement():
    rows = re.findall(r"^\| (.+?) \| (.+?) \| `([^`]+)` \|$", (KUBERNETES / "docs" / "SUMMARY.md").read_text(), re.MULTILINE)
    assert len(rows) >= 50
    for statement, now, place in rows:
        assert exists(place) and now.strip(), statement
    text = (KUBERNETES / "docs" / "SUMMARY.md").read_text()
    for component in sorted(path.parent.name for path in KUBERNETES.glob("components/*/kustomization.yaml")):
        assert f"components/{component}/" in text, component


def test_the_guide_lists_every_component():
    text = (KUBERNETES / "docs" / "KAFKA-ELK-INTEGRATION.md").read_text()
    listed = set(re.findall(r"^\| `([a-z-]+)` \|", text.partition("### Options")[2].partition("\n## ")[0], re.MULTILINE))
    assert listed == {path.parent.name for path in KUBERNETES.glob("components/*/kustomization.yaml")}


def test_versions_in_the_guides_are_the_pinned_ones():
    pins = {
        image["name"].rpartition("/")[2]: image["newTag"]
        for image in yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())["images"]
    }
    for path in GUIDES:
        for name, version in re.findall(r"\b(Kafka|Elasticsearch|Logstash|Kibana|Redis) (\d+(?:\.\d+)+)", path.read_text()):
            assert pins[name.lower()].startswith(version), f"{path.name}: {name} {version}"


def test_choosing_says_what_logstash_does_with_each_status_that_the_functions_treat_differently():
    """`submit` in plugin_mixins/elasticsearch/common.rb: 400 and 404 are dead letters, 409 is dropped, all else is retried."""
    rows = [line for line in (KUBERNETES / "docs" / "CHOOSING.md").read_text().splitlines() if line.startswith("|")]
    for words in (
        ("404", "dead letter at once"),
        ("`validation_exception`", "dead letter"),
        ("(413)", "retried for ever"),
        ("rejects as well", "second pipeline's own dead letter queue"),
        ("another type that day", "no second attempt"),
    ):
        assert [row for row in rows if all(word in row for word in words)], words
    source = (REPOSITORY / "functions" / "event-pipeline" / "src" / "item_result.rs").read_text()
    assert '"validation_exception"' in re.search(r"const SETUP_ERRORS.*?\];", source, re.DOTALL)[0]


def test_the_table_of_pipeline_settings_matches_the_pipeline():
    text = (KUBERNETES / "docs" / "KAFKA-ELK-INTEGRATION.md").read_text()
    kafka = parse((ELK / "logstash" / "pipeline" / "logstash.conf").read_text()).plugins("input")[0].options
    main = yaml.safe_load((ELK / "logstash" / "config" / "pipelines.yml").read_text())[0]
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \|", text, re.MULTILINE)
    checked = 0
    for name, documented in rows:
        actual = kafka.get(name, main.get(name))
        if actual is None:
            continue
        values = [str(value).lower() for value in (actual if isinstance(actual, list) else [actual])]
        for value in values:
            # The table shows the default of a variable.
            value = re.sub(r"^\$\{\w+:(.*)\}$", r"\1", value)
            assert re.search(rf"(?<![\w.]){re.escape(value)}(?![\w.])", documented), f"{name}: {documented}"
        checked += 1
    assert checked >= 8
