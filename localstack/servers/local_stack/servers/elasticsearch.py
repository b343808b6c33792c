"""Elasticsearch: one node of either pinned release, with TLS and its administrator `elastic`."""

import os
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from local_stack import java, paths, prerequisites
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.layout import once
from local_stack.prerequisites import Prerequisite
from local_stack.process import run_logged
from local_stack.server import Launch
from local_stack.servers import credentials, search_node
from local_stack.servers.credentials import Credentials
from local_stack.servers.search_node import ELASTICSEARCH_ENGINE
from local_stack.servers.secured_node import SecuredNode
from local_stack.versions import at_least, pinned

# The first JDK without a security manager.
SECURITY_MANAGER_ENDS = "24"


class Elasticsearch(SecuredNode):
    """A release: `name` finds its version in versions.toml, `group` is its distribution's, `own_settings` are added."""

    engine = ELASTICSEARCH_ENGINE
    administrator = "elastic"

    def __init__(self, name: str, title: str, port: int, transport_port: int, *, group: str, own_settings: str) -> None:
        super().__init__(name, title, port, transport_port)
        self._group = group
        self._own_settings = own_settings

    def prerequisites(self) -> list[Prerequisite]:
        """The newest JDK for keytool, one that Elasticsearch runs on, and Maven."""
        return [prerequisites.jdk(), prerequisites.older_jdk(), prerequisites.maven()]

    def fetch(self) -> Path:
        """Returns Elasticsearch's home."""
        version, size_mb = pinned()[self.name]["version"], pinned()[self.name]["download-mb"]

        def make(into: Path) -> None:
            search_node.unpack(self.engine, size_mb, f"{self._group}:elasticsearch:{version}:zip", into)
            # Native programs of machine learning for every system, which the node would start from there.
            shutil.rmtree(into / "modules" / "x-pack-ml" / "platform", ignore_errors=True)
            if not (into / "modules" / "analysis-common").exists():
                _add_analysis(into, version)

        complete = self._group.endswith("distribution.zip")
        return once(paths.cache() / f"elasticsearch-{version}{'' if complete else '-security'}", make)

    def prepare(self, instance: Instance, fetched: Path) -> Launch:
        """Makes the credentials, writes the configuration and puts the password into the keystore."""
        java_version, java_home = self._java()
        own = credentials.ensure(instance, self.name)
        text = self.settings(instance) + self._own_settings + security_settings(own.password)
        if not at_least(pinned()[self.name]["version"], "7"):
            text = text.replace("transport.port:", "transport.tcp.port:")
        configuration = self.configure(instance, fetched, text)
        (configuration / "elasticsearch.yml").chmod(0o600)
        for file in (own.ca, own.keystore):
            shutil.copy2(file, configuration / file.name)
        environment = self.variables(instance, java_home, java_options(java_version))
        _set_password(fetched, configuration, own, environment)
        return self.launch(fetched, environment)

    def _java(self) -> tuple[str, Path]:
        """The newest JDK that the release runs on."""
        minimum, below = str(pinned()[self.name]["java-minimum"]), pinned()[self.name].get("java-below")
        found = java.newest(minimum, below and str(below))
        if found is None:
            raise StackError(
                f"{self.name} needs a JDK from {minimum}{f' to {below - 1}' if below else ' on'}: install one beside the "
                "newest, for example openjdk-17-jdk-headless or openjdk-21-jdk-headless; JAVA_HOME may name it"
            )
        return found


# Of today's release an incomplete distribution is published: it lacks lifecycles and scripts, and what `_add_analysis` adds.
ELASTICSEARCH_8 = Elasticsearch(
    "elasticsearch",
    "Elasticsearch 8",
    9210,
    9310,
    group="org.elasticsearch.distribution.integ-test-zip",
    # By default it sets passwords and certificates up by itself.
    own_settings="""\
xpack.security.enrollment.enabled: false
xpack.security.autoconfiguration.enabled: false
""",
)
# The newest release that is published whole: it has lifecycles, Watcher, roles and API keys, with a trial licence.
ELASTICSEARCH_6 = Elasticsearch(
    "elasticsearch-6",
    "Elasticsearch 6",
    9211,
    9311,
    group="org.elasticsearch.distribution.zip",
    own_settings="""\
xpack.license.self_generated.type: trial
xpack.ml.enabled: false
xpack.security.authc.api_key.enabled: true
# The default suites are of their time, and today's clients refuse them.
xpack.security.http.ssl.cipher_suites: ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]
""",
)


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
    """OpenSearch's options, and permission to install the security manager, which JDKs from 18 on give only on request."""
    permission = "" if at_least(java_version, SECURITY_MANAGER_ENDS) else " -Djava.security.manager=allow"
    return search_node.java_options({**os.environ, "OPENSEARCH_JAVA_OPTS": ""}) + permission


def _add_analysis(home: Path, version: str) -> None:
    """Adds what the index of users, roles and API keys needs of the missing module `analysis-common`: see the plugin's source."""
    source = Path(__file__).with_name("SecurityIndexAnalysis.java")
    plugin = home / "plugins" / "security-index-analysis"
    with tempfile.TemporaryDirectory() as folder:
        run_logged(
            "compiling the plugin for users and API keys",
            [str(_compiler()), "--release", "17", "-cp", f"{home}/lib/*", "-d", folder, str(source)],
            paths.cache() / "logs" / "javac.log",
            home,
        )
        plugin.mkdir()
        with zipfile.ZipFile(plugin / "plugin.jar", "w") as jar:
            for file in sorted(Path(folder).rglob("*.class")):
                jar.write(file, file.relative_to(folder))
    (plugin / "plugin-descriptor.properties").write_text(
        f"name=security-index-analysis\ndescription=Analysis of the index of users and API keys\nversion={version}\n"
        f"elasticsearch.version={version}\njava.version=17\nclassname={source.stem}\n"
    )


def _compiler() -> Path:
    """The Java compiler of any JDK: the newest Java may be one that only runs programs."""
    for version, home in java.installed():
        compiler = home / "bin" / "javac"
        if at_least(version, "17") and compiler.exists():
            return compiler
    raise StackError("no javac of Java 17 or newer was found: install a JDK, for example openjdk-21-jdk-headless")


def _set_password(home: Path, configuration: Path, own: Credentials, environment: dict[str, str]) -> None:
    """Puts the administrator's password into Elasticsearch's own keystore.

    The keystore is kept and copied at later starts, because making it takes the start of a JVM.
    """
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
