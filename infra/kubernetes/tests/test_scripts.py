"""deploy.sh, undeploy.sh and verify.sh, run with a stand-in kubectl that records calls and returns prepared results.

deploy.bat is compared with deploy.sh. There is no cluster.
"""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import KUBERNETES, REPOSITORY, build

SCRIPTS = KUBERNETES / "scripts"
STAND_IN = f"""#!{sys.executable}
# Stands in for kubectl, sam and curl: records the call and returns the first of RESULTS whose pattern matches.
import json, os, re, sys
from pathlib import Path
call = [Path(sys.argv[0]).name, *sys.argv[1:]]
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps(call) + "\\n")
for pattern, status, output in json.loads(os.environ["RESULTS"]):
    if re.search(pattern, " ".join(call)):
        print(output, end="")
        sys.exit(status)
if "port-forward" in call:
    import signal
    signal.pause()
"""


class Stand:
    """A folder of stand-ins, and their recorded calls."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.calls_file = folder / "calls"
        self.calls_file.touch()
        for name in ("kubectl", "sam", "curl"):
            program = folder / name
            program.write_text(STAND_IN)
            program.chmod(0o755)

    def run(self, script: str, *arguments: str, results=()) -> subprocess.CompletedProcess:
        environment = {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "CALLS": str(self.calls_file),
            "RESULTS": json.dumps([list(result) for result in results]),
        }
        return subprocess.run(
            ["bash", str(SCRIPTS / script), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]

    def lines(self) -> list[str]:
        """The calls, without common paths and options."""
        return [" ".join(call).replace(f"{KUBERNETES}/", "").replace("--namespace demo-micro ", "") for call in self.calls]


@pytest.fixture
def stand(tmp_path):
    return Stand(tmp_path)


ARN = (r"exec deployment/localstack", 0, "arn:aws:secretsmanager:us-east-1:000000000000:secret:kafka-to-search/search-Ab\n")
FOUNDATION = [
    "kubectl apply -k overlays/dev -l kafka-to-search/step=foundation",
    "kubectl delete job -l kafka-to-search/step=secrets --ignore-not-found",
    "kubectl apply -k overlays/dev -l kafka-to-search/step=secrets",
    "kubectl wait --for=condition=complete job/stack-secrets --timeout=300s",
]
INFRASTRUCTURE = [
    "kubectl delete job -l kafka-to-search/step=infrastructure --ignore-not-found",
    "kubectl apply -k overlays/dev -l kafka-to-search/step=infrastructure",
    "kubectl rollout status statefulset/kafka --timeout=600s",
    "kubectl wait --for=condition=complete job/kafka-topics --timeout=600s",
    "kubectl rollout status statefulset/redis --timeout=180s",
    "kubectl rollout status deployment/localstack --timeout=300s",
]
ELK = [
    "kubectl apply -k overlays/dev -l kafka-to-search/step=logstash-config",
    "kubectl delete job -l kafka-to-search/step=elk --ignore-not-found",
    "kubectl apply -k overlays/dev -l kafka-to-search/step=elk",
    "kubectl rollout status statefulset/elasticsearch --timeout=600s",
    "kubectl wait --for=condition=complete job/elasticsearch-setup --timeout=600s",
    "kubectl rollout status statefulset/logstash --timeout=180s",
    "kubectl rollout status deployment/kibana --timeout=300s",
    "kubectl wait --for=condition=complete job/provision-cluster --timeout=600s",
    "kubectl wait --for=condition=complete job/kibana-setup --timeout=600s",
]
SAM_DEPLOY = (
    "sam deploy --template-file .aws-sam/build/template.yaml --stack-name kafka-to-search --region us-east-1 --resolve-s3 "
    "--capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --no-confirm-changeset --no-fail-on-empty-changeset "
    "--parameter-overrides "
    "KafkaBootstrapServers=kafka:29092 SearchEndpoint=http://elasticsearch:9200 SearchAuth=api_key SearchPlaintext=allow "
    f"SearchSecretArn={ARN[2].strip()} Provision=false"
)
FUNCTIONS = [
    "sam build --template-file infra/expanded.yaml --build-dir .aws-sam/build",
    "kubectl exec deployment/localstack -- python3 -B /jobs/search_secret.py",
    "kubectl port-forward service/localstack 4566:4566",
    "curl --silent --show-error --fail --retry 30 --retry-delay 1 --retry-connrefused http://127.0.0.1:4566/_localstack/health",
    SAM_DEPLOY,
    "kubectl apply -k overlays/dev -l kafka-to-search/step=functions",
    "kubectl rollout status deployment/kafka-poller --timeout=300s",
]


def without_forward(lines: list[str]) -> list[str]:
    """The port-forward runs in parallel, so its position among the calls is random."""
    return [line for line in lines if "port-forward" not in line]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), FOUNDATION + INFRASTRUCTURE + ELK + FUNCTIONS),
        (("--all",), FOUNDATION + INFRASTRUCTURE + ELK + FUNCTIONS),
        (("--infrastructure",), FOUNDATION + INFRASTRUCTURE),
        (("--elk",), FOUNDATION + ELK),
        (("--functions",), FOUNDATION + FUNCTIONS),
        (("--elk", "--infrastructure"), FOUNDATION + INFRASTRUCTURE + ELK),
    ],
)
def test_deploy_runs_its_parts_in_order(stand, arguments, expected):
    done = stand.run("deploy.sh", *arguments, results=[ARN])
    assert done.returncode == 0, done.stdout + done.stderr
    assert without_forward(stand.lines()) == without_forward(expected)
    assert sorted(stand.lines()) == sorted(expected)
    if any("elk" in line for line in expected):
        assert "Kafka integration enabled" in done.stdout
    else:
        assert "Kafka integration enabled" not in done.stdout


def test_deploy_uses_the_namespace_everywhere(stand):
    try:
        done = stand.run("deploy.sh", "--namespace", "team-a", results=[ARN])
        assert done.returncode == 0, done.stderr
        for call in stand.calls:
            if call[0] == "kubectl":
                assert call[1:3] == ["--namespace", "team-a"] or call[1:4] == ["apply", "-k", str(folder_of_team_a())]
        objects = build(folder_of_team_a())
        assert [item["metadata"]["name"] for item in objects if item["kind"] == "Namespace"] == ["team-a"]
        assert {item["metadata"].get("namespace", "team-a") for item in objects} == {"team-a"}
        bindings = [item for item in objects if item["kind"] == "RoleBinding"]
        assert len(bindings) == 3
        for subject in (each for binding in bindings for each in binding["subjects"]):
            assert (subject["kind"], subject["namespace"]) == ("ServiceAccount", "team-a")
    finally:
        remove_team_a()


def folder_of_team_a() -> Path:
    return KUBERNETES / "overlays" / "namespace-team-a"


def remove_team_a() -> None:
    (folder_of_team_a() / "kustomization.yaml").unlink(missing_ok=True)
    if folder_of_team_a().exists():
        folder_of_team_a().rmdir()


def test_production_deploys_no_functions_to_the_cluster(stand):
    done = stand.run("deploy.sh", "--all", "--overlay", "production")
    assert done.returncode == 0, done.stderr
    assert "The functions of production run on AWS" in done.stdout
    expected = [line.replace("overlays/dev", "overlays/production") for line in FOUNDATION + INFRASTRUCTURE[:-1] + ELK]
    assert stand.lines() == expected


def test_dry_run_changes_nothing_and_prints_every_command(stand):
    done = stand.run("deploy.sh", "--all", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert stand.calls == []
    printed = [line.removeprefix("would run: ") for line in done.stdout.splitlines() if line.startswith("would run: ")]
    printed = [line.replace(f"{KUBERNETES}/", "").replace("--namespace demo-micro ", "") for line in printed]
    assert printed == [
        line.replace(ARN[2].strip(), "ARN-OF-THE-SECRET") for line in FOUNDATION + INFRASTRUCTURE + ELK + FUNCTIONS
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fails", "part"),
    [
        ("step=foundation", "Namespace, access and network policies"),
        ("job/stack-secrets", "Secrets"),
        ("statefulset/kafka", "Kafka"),
        ("job/kafka-topics", "Kafka topics"),
        ("statefulset/redis", "Redis"),
        ("deployment/localstack --timeout", "LocalStack"),
        ("step=logstash-config", "Logstash ConfigMap"),
        ("statefulset/elasticsearch", "Elasticsearch"),
        ("job/elasticsearch-setup", "Elasticsearch setup"),
        ("statefulset/logstash", "Logstash"),
        ("deployment/kibana", "Kibana"),
        ("job/provision-cluster", "Cluster provisioning"),
        ("job/kibana-setup", "Kibana setup"),
        ("sam build", "Functions: build"),
        ("exec deployment/localstack", "Functions: deploy to LocalStack"),
        ("^curl", "Functions: deploy to LocalStack"),
        ("sam deploy", "Functions: deploy to LocalStack"),
        ("deployment/kafka-poller", "Functions: poller"),
    ],
)
def test_a_failing_part_stops_the_deployment_and_is_named(stand, fails, part):
    done = stand.run("deploy.sh", results=[(fails, 7, ""), ARN])
    assert done.returncode != 0
    assert f"deploy.sh: failed at: {part}\n" in done.stderr
    assert "Kafka integration enabled" not in done.stdout
    failed = next(number for number, call in enumerate(stand.lines()) if re.search(fails, call))
    # Only the log of a Job, or a port-forward that has just started, may follow.
    assert all(" logs job/" in line or "port-forward" in line for line in stand.lines()[failed + 1 :])
    if "job/" in fails:
        assert any("logs job/" in line for line in stand.lines()[failed + 1 :])


@pytest.mark.parametrize(
    "arguments", [("--nonsense",), ("--overlay", "staging"), ("--overlay",), ("--namespace",)], ids=" ".join
)
def test_invalid_arguments_change_nothing(stand, arguments):
    done = stand.run("deploy.sh", *arguments)
    assert done.returncode != 0 and done.stderr
    assert stand.calls == []


def test_the_port_forward_to_localstack_is_stopped(stand):
    assert stand.run("deploy.sh", "--functions", results=[ARN]).returncode == 0
    alive = [
        entry for entry in Path("/proc").glob("[0-9]*/environ")
        if f"CALLS={stand.calls_file}".encode() in readable(entry) and entry.parent.name != str(os.getpid())
    ]  # fmt: skip
    assert alive == []


def readable(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_the_template_has_the_parameters_of_the_deployment():
    template = (REPOSITORY / "infra" / "template.yaml").read_text()
    parameters = re.search(r"^Parameters:\n(.*?)^\S", template, re.MULTILINE | re.DOTALL)[1]
    known = set(re.findall(r"^  (\w+):$", parameters, re.MULTILINE))
    given = re.findall(r"(\w+)=", SAM_DEPLOY.split("--parameter-overrides ")[1].replace(ARN[2].strip(), ""))
    assert given and set(given) <= known


def bat_lines(script: str = "deploy.bat") -> list[str]:
    return (SCRIPTS / script).read_bytes().decode().replace("\r\n", "\n").splitlines()


@pytest.mark.parametrize("script", ["deploy.bat", "undeploy.bat", "verify.bat"])
def test_bat_has_crlf_line_endings(script):
    content = (SCRIPTS / script).read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n")
    assert "*.bat text eol=crlf" in (KUBERNETES / ".gitattributes").read_text()


def test_bat_runs_the_same_steps_in_the_same_order():
    names = {"source": "SOURCE", "namespace": "NAMESPACE", "port": "PORT", "secret_arn": "SECRET_ARN"}

    def of_shell(line: str) -> str | None:
        line = line.strip()
        found = re.match(r"(run_job|run|step) (.*?)(?: \|\| \{)?$", line)
        if not found or line.startswith('run kubectl --namespace "$namespace" wait'):
            return None
        return f"{found[1]} " + re.sub(r"\$(\w+)", lambda name: f"%{names.get(name[1], name[1])}%", found[2])

    def of_bat(line: str) -> str | None:
        found = re.match(r"call :(run_job|run|step) (.*?)(?: \|\| goto failed)?$", line.strip())
        if not found or 'wait --for=condition=complete "job/%~1"' in line:
            return None
        return f"{found[1]} {found[2]}"

    shell = [found for line in (SCRIPTS / "deploy.sh").read_text().splitlines() if (found := of_shell(line))]
    bat = [found for line in bat_lines() if (found := of_bat(line))]
    assert len(shell) > 30
    assert bat == shell


def test_undeploy_bat_runs_the_same_commands_in_the_same_order():
    shell = [
        re.sub(r"\$(source|namespace)", lambda name: f"%{name[1].upper()}%", line.strip()).replace("'", '"')
        for line in (SCRIPTS / "undeploy.sh").read_text().splitlines() if line.strip().startswith("run kubectl")
    ]  # fmt: skip
    bat = [
        re.match(r"call :(run .*?) \|\| exit /b 1$", line.strip())[1]
        for line in bat_lines("undeploy.bat") if line.strip().startswith("call :run")
    ]  # fmt: skip
    assert bat == shell and len(bat) == 6


def test_undeploy_bat_has_the_same_options():
    shell, bat = (SCRIPTS / "undeploy.sh").read_text(), "\n".join(bat_lines("undeploy.bat"))
    usage = re.search(r"<<'END'\n(.*?)^END$", shell, re.MULTILINE | re.DOTALL)[1].replace("undeploy.sh", "undeploy.bat")
    echoed = re.search(r"^:usage\n(.*?)^exit /b 0", bat, re.MULTILINE | re.DOTALL)[1]
    assert "\n".join(line.removeprefix("echo ").removeprefix("echo.") for line in echoed.splitlines()) == usage.rstrip("\n")
    options = set(re.findall(r"^    (--[a-z-]+)\)", shell, re.MULTILINE))
    assert options == set(re.findall(r'^if "%~1"=="(--[a-z-]+)"', bat, re.MULTILINE))
    assert set(re.findall(r"(?:goto |call :)(\w+)", bat)) <= set(re.findall(r"^:(\w+)$", bat, re.MULTILINE))


def test_verify_bat_passes_its_options_and_exit_code_on():
    """Windows is not to be had here: the file is read, not run."""
    lines = bat_lines("verify.bat")
    assert lines[-2:] == ['"%BASH%" infra/kubernetes/scripts/verify.sh %*', "exit /b %ERRORLEVEL%"]
    assert (REPOSITORY / "infra/kubernetes/scripts/verify.sh").exists()
    # https://www.msys2.org/docs/filesystem-paths/#automatic-unix-windows-path-conversion
    assert 'set "MSYS_NO_PATHCONV=1"' in lines and 'set "MSYS2_ARG_CONV_EXCL=*"' in lines


def test_bat_stops_at_the_first_failure():
    for line in bat_lines():
        if re.match(r"call :(run|run_job) ", line.strip()) and "job/%~1" not in line:
            assert line.endswith("|| goto failed"), line


def test_bat_has_the_same_messages_and_options():
    shell, bat = (SCRIPTS / "deploy.sh").read_text(), "\n".join(bat_lines())
    usage = re.search(r"<<'END'\n(.*?)^END$", shell, re.MULTILINE | re.DOTALL)[1].replace("deploy.sh", "deploy.bat")
    echoed = re.search(r"^:usage\n(.*?)^exit /b 0", bat, re.MULTILINE | re.DOTALL)[1]
    assert "\n".join(line.removeprefix("echo ").removeprefix("echo.") for line in echoed.splitlines()) == usage.rstrip("\n")
    options = set(re.findall(r"^    (--[a-z-]+)\)", shell, re.MULTILINE))
    assert options == set(re.findall(r'^if "%~1"=="(--[a-z-]+)"', bat, re.MULTILINE))
    for words in ("Kafka integration enabled", "The functions of production run on AWS", "failed at: "):
        assert words in shell and words in bat
    labels = set(re.findall(r"^:(\w+)$", bat, re.MULTILINE))
    assert set(re.findall(r"(?:goto |call :)(\w+)", bat)) <= labels


DEAD_LETTER_QUEUE = '"dead_letter_queue":{"queue_size_in_bytes":1,"max_queue_size_in_bytes":268435456,"dropped_events":0}'
# As Logstash writes it: PipelineIndicator.java in its source.
HEALTH_REPORT = (
    '{"host":"logstash-0","status":"STATUS","symptom":"2 indicators are healthy (`main`, `dead-letters`)","indicators":'
    '{"pipelines":{"status":"STATUS","indicators":{"main":{"status":"STATUS","details":{"status":{"state":"STATE"}}},'
    '"dead-letters":{"status":"green","details":{"status":{"state":"RUNNING"},"flow":{}}}}}}}'
)


def encoded_certificate(days: int) -> str:
    """A certificate that ends after some days, as `kubectl get secret` prints it."""
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null",
         "-subj", "/CN=kafka", "-days", str(days)], capture_output=True, check=True,
    )  # fmt: skip
    return base64.b64encode(made.stdout).decode()


HEALTHY = [
    (r"get secret certificates-", 0, encoded_certificate(60)),
    (r"diff -k", 0, ""),
    (r"get pods .*metadata.name}$", 0, "logstash-0 logstash-1"),
    (r"wait --for=condition=ready", 0, ""),
    (
        r"initContainerStatuses",
        0,
        "".join(f"logstash-{n} wait-for-kafka=Completed wait-for-elasticsearch=Completed\n" for n in range(2)),
    ),
    (r"kafka-consumer-groups.sh", 0, "GROUP COORDINATOR STATE #MEMBERS\nlogstash-consumer-group kafka-0 Stable 3\n"),
    (r"under-replicated", 0, ""),
    # Which pod has the partitions with events is chance.
    (
        r"logstash-0 .*_node/stats/pipelines/main",
        0,
        '{"documents":{"successes":0,"non_retryable_failures":0},' + DEAD_LETTER_QUEUE + "}",
    ),
    (
        r"logstash-1 .*_node/stats/pipelines/main",
        0,
        '{"documents":{"successes":12,"non_retryable_failures":0},' + DEAD_LETTER_QUEUE + "}",
    ),
    (r"_node/stats/pipelines/dead-letters", 0, "{" + DEAD_LETTER_QUEUE + "}"),
    (r"_health_report", 0, HEALTH_REPORT.replace("STATUS", "green").replace("STATE", "RUNNING")),
    (r"_cluster/health", 0, '{"status":"green","number_of_nodes":1}'),
    (r"_index_template", 0, '{"index_templates":[{"index_template":{"composed_of":["microservices-mappings"]}}]}'),
    (r"_cat/indices", 0, "microservices-2026.03.01 12\n"),
    (r"_search", 0, '{"hits":{"hits":[{"_id":"order.events-0-0-1"}]}}'),
]


def test_verify_passes_on_a_healthy_stack(stand):
    done = stand.run("verify.sh", "--send-event", results=HEALTHY)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASS") == 17 and "FAIL" not in done.stdout
    assert done.stdout.endswith("all checks passed\n")


@pytest.mark.parametrize(
    ("pattern", "status", "output", "what"),
    [
        (r"diff -k", 1, "-  old", "Logstash's ConfigMap matches this folder"),
        (r"name=kafka ", 1, "timed out", "Kafka's pods are ready"),
        (r"under-replicated", 0, "Topic: order.events", "Kafka's replicas are in sync"),
        (r"name=elasticsearch ", 1, "timed out", "Elasticsearch's pods are ready"),
        (r"_cluster/health", 0, '{"status":"red"}', "Elasticsearch is healthy"),
        (r"_index_template", 22, "", "Elasticsearch is provisioned"),
        (r"initContainerStatuses", 0, "logstash-0 wait-for-kafka=Completed\n", "Logstash's init containers have completed"),
        (
            r"initContainerStatuses",
            0,
            "logstash-0 a=Completed b=Completed\nlogstash-1 a=Completed b=\n",
            "Logstash's init containers have completed",
        ),
        (r"wait .*name=logstash ", 1, "timed out", "Logstash's pods are ready"),
        (r"_health_report", 22, "", "Logstash runs its pipelines"),
        (
            r"logstash-1 .*_health_report",
            0,
            HEALTH_REPORT.replace("STATUS", "red").replace("STATE", "TERMINATED"),
            "Logstash runs its pipelines",
        ),
        (r"_health_report", 0, HEALTH_REPORT.replace('"RUNNING"', '"LOADING"'), "Logstash runs its pipelines"),
        (
            r"logstash-1 .*pipelines/dead-letters",
            0,
            "{" + DEAD_LETTER_QUEUE.replace('bytes":1,', 'bytes":1204,') + "}",
            "No dead letter was rejected",
        ),
        (
            r"logstash-1 .*pipelines/main",
            0,
            '{"documents":{"successes":12},' + DEAD_LETTER_QUEUE.replace('events":0', 'events":3') + "}",
            "No dead letter was rejected",
        ),
        (r"get secret certificates-kibana", 0, encoded_certificate(20), "Certificates last"),
        (r"get secret certificates-kafka", 0, "", "Certificates last"),
        (r"name=kibana ", 1, "timed out", "Kibana's pods are ready"),
        (r"consumer-groups", 0, "logstash-consumer-group kafka-0 Empty 0", "Logstash's consumer group is active"),
        (
            r"_node/stats/pipelines/main",
            0,
            '{"documents":{"successes":0},' + DEAD_LETTER_QUEUE + "}",
            "Logstash has written to Elasticsearch",
        ),
        (r"_cat/indices", 0, "", "Daily indices exist"),
        (r"_search", 0, "{}", "Documents have Kafka's metadata"),
    ],
)
def test_verify_names_the_failing_check(stand, pattern, status, output, what):
    done = stand.run("verify.sh", results=[(pattern, status, output), *HEALTHY])
    assert done.returncode == 1
    assert f"FAIL  {what}\n" in done.stdout
    assert done.stdout.count("FAIL") == 1
    assert done.stdout.endswith("1 checks failed\n")


def probe(name: str) -> list[str]:
    """The command of a probe of Logstash's container."""
    (logstash,) = (item for item in build(KUBERNETES / "overlays" / "dev") if item["metadata"]["name"] == "logstash"
                   and item["kind"] == "StatefulSet")  # fmt: skip
    (container,) = logstash["spec"]["template"]["spec"]["containers"]
    return container[name]["exec"]["command"]


@pytest.mark.parametrize(
    ("state", "ready", "alive"),
    [("RUNNING", True, True), ("TERMINATED", False, False), ("LOADING", False, True), ("UNKNOWN", False, True)],
)
def test_a_pipeline_that_does_not_run_makes_the_pod_unready_and_one_that_crashed_restarts_it(stand, state, ready, alive):
    """Runs the commands of the probes with a stand-in for curl that returns a report in Logstash's format."""
    report = HEALTH_REPORT.replace("STATUS", "green").replace("STATE", state)
    environment = {
        "PATH": f"{stand.folder}:{os.environ['PATH']}", "CALLS": str(stand.calls_file),
        "RESULTS": json.dumps([["localhost:9600/_health_report", 0, report]]),
    }  # fmt: skip
    for name, expected in (("readinessProbe", ready), ("livenessProbe", alive)):
        done = subprocess.run(probe(name), env=environment, check=False)
        assert (done.returncode == 0) == expected, name
    # An API that does not respond.
    environment["RESULTS"] = json.dumps([["localhost:9600", 7, ""]])
    for name in ("readinessProbe", "livenessProbe"):
        assert subprocess.run(probe(name), env=environment, check=False).returncode != 0, name


def test_undeploy_keeps_data_by_default(stand):
    assert stand.run("undeploy.sh").returncode == 0
    assert not [line for line in stand.lines() if "delete namespace" in line or "foundation" in line or "pvc" in line]
    assert stand.run("undeploy.sh", "--delete-data").returncode == 0
    assert stand.lines()[-1] == "kubectl delete namespace demo-micro --ignore-not-found"


def test_undeploy_lets_logstash_write_its_queue_first(stand):
    stand.run("undeploy.sh")
    lines = stand.lines()
    logstash = next(number for number, line in enumerate(lines) if "delete statefulset logstash" in line)
    rest = next(number for number, line in enumerate(lines) if "infrastructure" in line)
    assert logstash < rest
