"""The pipelines of dev and production differ only in TLS and logins, and use only what the pods have."""

import re
import shutil
import subprocess
import sys

import pytest
from conftest import ELK, KUBERNETES
from logstash.config import Branch, Plugin, parse, substitute

PIPELINES = ("logstash.conf", "dead-letters.conf")
# Options that differ between dev and production.
TLS = {
    "ssl_enabled", "ssl_certificate", "ssl_key", "ssl_certificate_authorities", "ssl_client_authentication",
    "security_protocol", "sasl_mechanism", "sasl_jaas_config", "ssl_truststore_type", "ssl_truststore_location",
}  # fmt: skip
LOGIN = {"user", "password", "api_key"}


def pipelines(builds, name: str) -> dict[str, str]:
    """The pipeline files in the ConfigMap of a build."""
    (data,) = (
        item["data"] for item in builds[name] if item["kind"] == "ConfigMap" and item["metadata"]["name"] == "logstash-pipeline"
    )
    assert data.keys() == set(PIPELINES)
    return data


def without(items: list, names: set[str]) -> list:
    """The same plugins and branches without these options."""
    return [
        Branch([(condition, without(body, names)) for condition, body in item.arms])
        if isinstance(item, Branch)
        else Plugin(item.name, {name: value for name, value in item.options.items() if name not in names})
        for item in items
    ]


@pytest.mark.parametrize("file", PIPELINES)
def test_production_differs_only_in_tls_and_logins(builds, file):
    dev, production = (parse(pipelines(builds, name)[file]) for name in ("dev", "production"))
    assert dev.filter == production.filter
    for section in ("input", "output"):
        assert getattr(dev, section) != getattr(production, section) or file == "dead-letters.conf"
        assert without(getattr(dev, section), TLS | LOGIN) == without(getattr(production, section), TLS | LOGIN)


@pytest.mark.parametrize("file", PIPELINES)
def test_production_logs_in_with_a_key_over_tls(builds, file):
    pipeline = parse(pipelines(builds, "production")[file])
    for plugin in pipeline.plugins("output"):
        assert plugin.name == "elasticsearch"
        assert not plugin.options.keys() & {"user", "password"}
        assert plugin.options["api_key"] == "${ELASTICSEARCH_API_KEY}"
        assert plugin.options["ssl_enabled"] is True and plugin.options["ssl_certificate_authorities"]
    for plugin in pipeline.plugins("input"):
        if plugin.name == "kafka":
            assert (plugin.options["security_protocol"], plugin.options["sasl_mechanism"]) == ("SASL_SSL", "SCRAM-SHA-512")
            # Logstash substitutes the variable. Kafka's login module parses the rest.
            jaas = substitute(plugin.options["sasl_jaas_config"], {"KAFKA_PASSWORD": "p"})
            assert re.fullmatch(r'[\w.]+\.ScramLoginModule required username="logstash" password="p";', jaas)
        elif plugin.name != "dead_letter_queue":
            assert plugin.options["ssl_client_authentication"] == "required", plugin.name


def test_dev_logs_in_with_the_password_of_the_secret(builds):
    for file in PIPELINES:
        for plugin in parse(pipelines(builds, "dev")[file]).plugins("output"):
            assert plugin.options["password"] == "${ELASTIC_PASSWORD}"
            assert "api_key" not in plugin.options


def test_outputs_write_once_to_daily_indices_and_manage_no_templates(builds):
    for name in ("dev", "production"):
        for file in PIPELINES:
            for plugin in parse(pipelines(builds, name)[file]).plugins("output"):
                assert plugin.options["action"] == "create", "a second delivery would overwrite"
                assert plugin.options["index"].endswith("-%{+YYYY.MM.dd}")
                assert plugin.options["manage_template"] is False and plugin.options["ilm_enabled"] == "false"
    (main, *_) = parse(pipelines(builds, "dev")["logstash.conf"]).plugins("output")
    assert main.options["index"] == "microservices-%{+YYYY.MM.dd}"
    assert main.options["document_id"] == "%{[@metadata][document_id]}"
    assert "version_conflict_engine_exception" in main.options["silence_errors_in_log"]


def test_inputs_listen_on_the_ports_of_the_service(builds):
    inputs = {plugin.name: plugin.options for plugin in parse(pipelines(builds, "dev")["logstash.conf"]).input}
    assert (inputs["beats"]["port"], inputs["tcp"]["port"]) == (5044, 50000)


@pytest.mark.parametrize("name", ["dev", "production"])
def test_the_pod_has_the_variables_and_files_of_the_pipelines(builds, name):
    (logstash,) = (
        item for item in builds[name] if item["kind"] == "StatefulSet" and item["metadata"]["name"] == "logstash"
    )  # fmt: skip
    (container,) = logstash["spec"]["template"]["spec"]["containers"]
    known = {entry["name"] for entry in container["env"]} | {"HOSTNAME"}
    volumes = {volume["name"]: volume for volume in logstash["spec"]["template"]["spec"]["volumes"]}
    mounts = {mount["mountPath"]: volumes.get(mount["name"], {}) for mount in container["volumeMounts"]}
    for text in pipelines(builds, name).values():
        code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
        for variable, default in re.findall(r"\$\{(\w+)(:[^}]*)?\}", code):
            assert variable in known or default, f"{variable} is not set in {name}"
        for folder, file in re.findall(r'"(/usr/share/logstash/certificates)/([\w.]+)"', code):
            assert file in [item["path"] for item in mounts[folder]["secret"]["items"]]


def test_every_plugin_has_an_id():
    for file in PIPELINES:
        pipeline = parse((ELK / "logstash" / "pipeline" / file).read_text())
        ids = [plugin.options["id"] for part in ("input", "filter", "output") for plugin in pipeline.plugins(part)]
        assert len(ids) == len(set(ids)), "metrics and logs name plugins by their id"


def test_the_parser_rejects_invalid_pipelines():
    for text in (
        "input { kafka { topics => [ } }",
        "filter { mutate { add_field => } }",
        'output { elasticsearch { index => "a" }',
        "filter { if [a] == { mutate { } } }",
        'filter { mutate { id => "a" id => "b" } }',
    ):
        with pytest.raises(Exception, match=r"(?s)."):
            parse(text)


def test_render_reports_a_copy_that_differs(tmp_path):
    for folder in ("elk", "search", "kubernetes/elk", "kubernetes/scripts", "kubernetes/overlays"):
        shutil.copytree(KUBERNETES.parent / folder, tmp_path / folder)
    check = [sys.executable, "-B", str(tmp_path / "kubernetes" / "scripts" / "render.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    copy = tmp_path / "kubernetes" / "elk" / "logstash-configmap.yaml"
    copy.write_text(copy.read_text().replace("port => 5044", "port => 5045"))
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "logstash-configmap.yaml differs from its source" in done.stderr
