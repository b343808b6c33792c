"""Shared by the tests: the files under test, the builds of the overlays, JRuby."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from logstash.config import substitute

TESTS = Path(__file__).resolve().parent
KUBERNETES = TESTS.parent
REPOSITORY = KUBERNETES.parent.parent
ELK = REPOSITORY / "infra" / "elk"
OVERLAYS = ("dev", "production")
# Shipped with Logstash 9.5: its Ruby and the JSON parser on its class path.
JRUBY = ("org.jruby:jruby-complete:10.0.6.0", "com.fasterxml.jackson.core:jackson-core:2.21.4")

sys.path.insert(0, str(TESTS))
sys.path.insert(0, str(REPOSITORY / "localstack" / "servers"))


def kubectl() -> str:
    """The kubectl in the Python environment of the tests."""
    program = Path(sys.executable).with_name("kubectl")
    assert program.exists(), f"{program} is missing: run the tests with `make test-kubernetes`"
    return str(program)


def build(folder: Path) -> list[dict]:
    """The objects that `kubectl kustomize` builds from a folder."""
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"kubectl kustomize {folder}: {done.stderr}"
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def named(objects: list[dict], kind: str, name: str) -> dict:
    """The one object of this kind and name."""
    (found,) = (item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name)
    return found


def files_of(objects: list[dict], name: str) -> dict[str, str]:
    """The files or values of a ConfigMap, whose name may end with a hash of them."""
    pattern = re.compile(rf"{re.escape(name)}(-[a-z0-9]{{10}})?")
    (found,) = (item["data"] for item in objects if item["kind"] == "ConfigMap" and pattern.fullmatch(item["metadata"]["name"]))
    return found


def pipeline_settings(objects: list[dict]) -> list[dict]:
    """Each pipeline of pipelines.yml with the values that Logstash's pod has in its environment."""
    (container,) = named(objects, "StatefulSet", "logstash")["spec"]["template"]["spec"]["containers"]
    return yaml.safe_load(substitute(files_of(objects, "logstash-settings")["pipelines.yml"], environment(objects, container)))


def environment(objects: list[dict], container: dict) -> dict[str, str]:
    """The variables of a container that are not secret."""
    values = {}
    for entry in container["env"]:
        reference = entry.get("valueFrom", {}).get("configMapKeyRef")
        if reference:
            values[entry["name"]] = files_of(objects, re.sub(r"-[a-z0-9]{10}$", "", reference["name"]))[reference["key"]]
        elif "value" in entry:
            values[entry["name"]] = entry["value"]
    return values


def folder_of(build_name: str) -> Path:
    """The folder of `base` or of an overlay."""
    return KUBERNETES / "base" if build_name == "base" else KUBERNETES / "overlays" / build_name


@pytest.fixture(scope="session")
def builds() -> dict[str, list[dict]]:
    """The objects of the base and of every overlay."""
    return {name: build(folder_of(name)) for name in ("base", *OVERLAYS)}


@pytest.fixture(scope="session")
def ruby():
    """Runs ruby filters in one JRuby. `ruby(options, fields, metadata)` returns the new fields and metadata."""
    from local_stack import java, layout, maven, paths

    def fetch(into: Path) -> None:
        for artifact in JRUBY:
            maven.copy(f"fetching {artifact}", artifact, into)

    versions = "-".join(artifact.rsplit(":", 1)[1] for artifact in JRUBY)
    jars = layout.once(paths.cache() / f"jruby-jackson-{versions}", fetch)
    command = [
        str(java.home() / "bin" / "java"),
        "-XX:TieredStopAtLevel=1",
        # Suppress the JDK's warnings about JRuby.
        "--enable-native-access=ALL-UNNAMED",
        "--add-opens=java.base/java.io=ALL-UNNAMED",
        "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
        "-cp",
        f"{jars}/*",
        "org.jruby.Main",
        str(TESTS / "logstash" / "ruby_filter.rb"),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:

        def run(options: dict, fields: dict, metadata: dict) -> tuple[dict, dict]:
            process.stdin.write(json.dumps({**options, "fields": fields, "metadata": metadata}) + "\n")
            process.stdin.flush()
            result = json.loads(process.stdout.readline())
            assert "error" not in result, f"the ruby filter failed: {result}"
            return result["fields"], result["metadata"]

        yield run
        process.stdin.close()
        assert process.wait(timeout=60) == 0
