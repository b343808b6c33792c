"""What nodes of OpenSearch and Elasticsearch have in common: unpacked, configured, on the loopback address, not run as root."""

import os
import platform
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local_stack import maven, paths
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.ports import Port
from local_stack.progress import step
from local_stack.server import Launch, Server

UNPRIVILEGED = 1000


@dataclass(frozen=True)
class Engine:
    """What the two programs name differently."""

    title: str
    program: str  # in bin/, and the name of its settings file
    prefix: str  # of its environment variables


OPENSEARCH_ENGINE = Engine("OpenSearch", "opensearch", "OPENSEARCH")
ELASTICSEARCH_ENGINE = Engine("Elasticsearch", "elasticsearch", "ES")


class SearchNode(Server):
    """One node of either engine."""

    engine: Engine
    start_timeout_s = 300
    stop_grace_s = 60

    def __init__(self, name: str, title: str, port: int, transport_port: int) -> None:
        self.name = name
        self.title = title
        prefix = name.replace("-", "_").upper()
        self.ports = (Port(f"{prefix}_PORT", port), Port(f"{prefix}_TRANSPORT_PORT", transport_port))

    def settings(self, instance: Instance) -> str:
        """The settings that every node has."""
        return settings(instance.server_folder(self.name), *map(instance.port, self.ports))

    def configure(self, instance: Instance, home: Path, text: str) -> Path:
        """Makes the configuration folder from the shipped one, and an empty folder for temporary files."""
        folder = instance.server_folder(self.name)
        configuration = folder / "config"
        shutil.rmtree(configuration, ignore_errors=True)
        shutil.copytree(home / "config", configuration)
        configuration.chmod(0o700)
        (configuration / f"{self.engine.program}.yml").write_text(text)
        options = configuration / "jvm.options"
        options.write_text(jvm_options(options.read_text(), folder))
        shutil.rmtree(folder / "tmp", ignore_errors=True)
        (folder / "tmp").mkdir()
        return configuration

    def variables(self, instance: Instance, java_home: Path, options: str) -> dict[str, str]:
        """The environment of the node and of its tools."""
        folder, prefix = instance.server_folder(self.name), self.engine.prefix
        return {
            **os.environ,
            "JAVA_HOME": str(java_home),
            f"{prefix}_JAVA_HOME": str(java_home),
            f"{prefix}_PATH_CONF": str(folder / "config"),
            f"{prefix}_TMPDIR": str(folder / "tmp"),
            f"{prefix}_JAVA_OPTS": options,
        }

    def launch(self, home: Path, environment: Mapping[str, str]) -> Launch:
        """Runs the configured node."""
        return Launch([*_drop_root(self.title), str(home / "bin" / self.engine.program)], environment)


def unpack(engine: Engine, size_mb: int, artifact: str, into: Path) -> None:
    """Fetches a released zip, and moves its one folder to `into`."""
    _, name, version, _ = artifact.split(":")
    title = f"{engine.title} {version}"
    with tempfile.TemporaryDirectory(dir=paths.cache()) as aside:
        maven.copy(f"fetching {title} ({size_mb} MB)", artifact, Path(aside))
        with step(f"unpacking {title}"), zipfile.ZipFile(Path(aside) / f"{name}-{version}.zip") as archive:
            archive.extractall(aside)
            unpacked = Path(aside) / f"{name}-{version}"
            for program in (unpacked / "bin").iterdir():
                program.chmod(0o755)  # Python does not restore the zip's modes
            into.rmdir()
            unpacked.replace(into)


def settings(folder: Path, port: int, transport_port: int, node: int = 1, cluster: Sequence[int] = ()) -> str:
    """The settings of a node on the loopback address: alone, or with the cluster's transport ports one of several."""
    if len(cluster) > 1:
        seeds = ", ".join(f'"127.0.0.1:{each}"' for each in cluster)
        first = ", ".join(f"node-{number}" for number in range(1, len(cluster) + 1))
        discovery = f"discovery.seed_hosts: [{seeds}]\ncluster.initial_cluster_manager_nodes: [{first}]"
    else:
        discovery = "discovery.type: single-node"
    return f"""\
cluster.name: kafka-to-search
node.name: node-{node}
path.data: {folder}/data
path.logs: {folder}/logs
network.host: 127.0.0.1
http.port: {port}
transport.port: {transport_port}
{discovery}
action.auto_create_index: true
# A nearly full disk is no reason for a local index to turn read-only.
cluster.routing.allocation.disk.threshold_enabled: false
"""


def jvm_options(shipped: str, folder: Path) -> str:
    """The shipped jvm.options without the garbage collection log, and with crash files in our folder.

    The shipped paths are relative to the node's home, which is in the cache and must not be written to.
    """
    log = r"Xlog:gc|Xlog:disable|Xloggc|UseGCLog|NumberOfGCLog|GCLogFile|PrintGC|PrintTenuring"
    kept = [line for line in shipped.splitlines() if not re.search(log, line)]
    text = "\n".join(kept) + "\n"
    text = re.sub(r"(?m)^-XX:HeapDumpPath=.*", f"-XX:HeapDumpPath={folder}", text)
    return re.sub(r"(?m)^(\S*)-XX:ErrorFile=.*", rf"\1-XX:ErrorFile={folder}/hs_err_pid%p.log", text)


def java_options(environment: Mapping[str, str], default_heap: str = "1g") -> str:
    """Heap and compiler. By default what starts faster: the first compiler alone, and a heap that is not touched in advance."""
    heap = environment.get("OPENSEARCH_HEAP", default_heap)
    quick = "" if environment.get("STACK_OPENSEARCH_C2") == "1" else " -XX:TieredStopAtLevel=1 -XX:-AlwaysPreTouch"
    own = environment.get("OPENSEARCH_JAVA_OPTS", "")
    return f"-Xms{heap} -Xmx{heap} -Djava.net.preferIPv4Stack=true{quick} {own}".rstrip()


def _drop_root(title: str) -> list[str]:
    """What to put before the command, because the node refuses to run as root.

    In a user namespace the process sees another user id, while its files stay ours. Where namespaces are refused, the process
    gets another user id, and keeps the right to access our files (also where access(2) is called, hence the securebit). So
    no system user, no chown and no world-readable home folder is needed.
    """
    if os.geteuid() != 0 or platform.system() != "Linux":
        return []
    user = str(UNPRIVILEGED)
    namespace = ["unshare", "--user", f"--map-user={user}", f"--map-group={user}"]
    capabilities = "+dac_override"
    other_user = [
        "setpriv", "--securebits=+no_setuid_fixup", f"--reuid={user}", f"--regid={user}", "--clear-groups",
        f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}",
    ]  # fmt: skip
    for prefix in (namespace, other_user):
        if (
            shutil.which(prefix[0])
            and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
        ):
            return prefix
    raise StackError(
        f"{title} refuses to run as root, and this root may neither make a user namespace (unshare) nor change its "
        "user (setpriv): run the command as another user"
    )
