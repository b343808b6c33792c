"""One node of any Elasticsearch release, with TLS and its administrator `elastic`."""

import os
import shutil
import subprocess
from pathlib import Path

import identity
import java
import paths
import search_node
from errors import StackError
from identity import Identity
from instance import Instance
from layout import once
from search_node import ELASTICSEARCH
from versions import at_least, pinned

ADMINISTRATOR = "elastic"
# The first JDK without one.
SECURITY_MANAGER_ENDS = "24"


def fetch(name: str, group: str) -> Path:
    """Returns the home of the release that is pinned under a name."""
    version, size_mb = pinned()[name]["version"], pinned()[name]["download-mb"]
    folder = paths.cache() / f"elasticsearch-{version}"
    artifact = f"{group}:elasticsearch:{version}:zip"

    def make(into: Path) -> None:
        search_node.unpack("Elasticsearch", size_mb, artifact, into)
        # Native programs of machine learning, for every system, which the node starts where they are.
        shutil.rmtree(into / "modules" / "x-pack-ml" / "platform", ignore_errors=True)

    return once(folder, make)


def start(instance: Instance, name: str, home: Path, settings: str) -> None:
    """Starts the node; returns when the administrator is let in and the cluster is healthy."""
    folder = instance.server_folder(name)
    java_version, java_home = _java(name)
    ports = search_node.check_ports(ELASTICSEARCH, instance, name)
    own = identity.ensure(instance, name)
    text = search_node.settings(ELASTICSEARCH, folder, *ports) + settings + security_settings(own.password)
    if not at_least(pinned()[name]["version"], "7"):
        text = text.replace("transport.port:", "transport.tcp.port:")
    configuration = search_node.configure(ELASTICSEARCH, home, folder, text)
    (configuration / "elasticsearch.yml").chmod(0o600)
    for file in (own.ca, own.keystore):
        shutil.copy2(file, configuration / file.name)
    environment = search_node.variables(ELASTICSEARCH, folder, java_home, java_options(java_version))
    _let_the_administrator_in(home, configuration, own, environment)
    known = info(instance, name)
    search_node.run(ELASTICSEARCH, instance, name, home, environment, lambda: identity.healthy(known), home.name)


def info(instance: Instance, name: str) -> dict:
    """Where clients connect, and with what."""
    port = instance.port(ELASTICSEARCH.ports(name)[0])
    return identity.info(instance, name, port, ADMINISTRATOR, "elasticsearch")


def security_settings(password: str) -> str:
    """The lines of elasticsearch.yml that turn TLS and users on."""
    layers = "".join(
        f"""\
xpack.security.{layer}.ssl.enabled: true
xpack.security.{layer}.ssl.keystore.path: node.p12
xpack.security.{layer}.ssl.keystore.password: {password}
xpack.security.{layer}.ssl.certificate_authorities: ["ca.pem"]
"""
        for layer in ("transport", "http")
    )
    return f"xpack.security.enabled: true\n{layers}"


def java_options(java_version: str) -> str:
    """Those of OpenSearch, and leave to install the security manager, which JDKs from 18 on give only to those who ask."""
    leave = "" if at_least(java_version, SECURITY_MANAGER_ENDS) else " -Djava.security.manager=allow"
    return search_node.java_options({**os.environ, "OPENSEARCH_JAVA_OPTS": ""}) + leave


def _java(name: str) -> tuple[str, Path]:
    """The newest JDK that the release runs on."""
    minimum, below = str(pinned()[name]["java-minimum"]), pinned()[name].get("java-below")
    found = java.newest(minimum, below and str(below))
    if found is None:
        raise StackError(
            f"{name} needs a JDK from {minimum}{f' to {below - 1}' if below else ' on'}: install one beside the newest, for example "
            "openjdk-17-jdk-headless or openjdk-21-jdk-headless; JAVA_HOME may name it"
        )
    return found


def _let_the_administrator_in(home: Path, configuration: Path, own: Identity, environment: dict[str, str]) -> None:
    """Puts the password into Elasticsearch's own keystore, which is kept: making it costs the start of a JVM."""
    kept, used = own.folder / "elasticsearch.keystore", configuration / "elasticsearch.keystore"
    if not kept.exists():
        tool = home / "bin" / "elasticsearch-keystore"
        done = subprocess.run(
            [str(tool), "add", "--force", "--stdin", "bootstrap.password"],
            input=f"{own.password}\n", env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0 or not used.exists():
            raise StackError(f"{tool} failed: {(done.stdout + done.stderr).strip()}")
        shutil.copy2(used, kept)
    shutil.copy2(kept, used)
