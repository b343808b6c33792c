"""What nodes of OpenSearch and Elasticsearch have in common: unpacked, configured, started without root, on the loopback address."""

import os
import platform
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import maven
import paths
from errors import StackError
from instance import Instance, require_free
from process import launch, wait_until
from progress import step

START_TIMEOUT_S = 300
STOP_GRACE_S = 60
UNPRIVILEGED = 1000


@dataclass(frozen=True)
class Engine:
    """How the two programs name their parts."""

    title: str
    program: str  # in bin/, and the name of its settings file
    prefix: str  # of its environment variables

    def ports(self, server: str) -> tuple[str, str]:
        """The variables that hold a server's ports, for clients and between nodes."""
        name = server.replace("-", "_").upper()
        return f"{name}_PORT", f"{name}_TRANSPORT_PORT"


OPENSEARCH = Engine("OpenSearch", "opensearch", "OPENSEARCH")
ELASTICSEARCH = Engine("Elasticsearch", "elasticsearch", "ES")


def unpack(title: str, size_mb: int, artifact: str, into: Path) -> None:
    """Fetches a released zip, whose one folder becomes `into`."""
    _, name, version, _ = artifact.split(":")
    with tempfile.TemporaryDirectory(dir=paths.cache()) as aside:
        maven.copy(f"fetching {title} {version} ({size_mb} MB)", artifact, Path(aside))
        with step(f"unpacking {title} {version}"), zipfile.ZipFile(Path(aside) / f"{name}-{version}.zip") as archive:
            archive.extractall(aside)
            unpacked = Path(aside) / f"{name}-{version}"
            for program in (unpacked / "bin").iterdir():
                program.chmod(0o755)  # the zip's modes are not kept by Python
            into.rmdir()
            unpacked.replace(into)


def configure(engine: Engine, home: Path, folder: Path, settings: str) -> Path:
    """Makes the configuration folder anew from the shipped one, and an empty folder for temporary files."""
    configuration = folder / "config"
    shutil.rmtree(configuration, ignore_errors=True)
    shutil.copytree(home / "config", configuration)
    configuration.chmod(0o700)
    (configuration / f"{engine.program}.yml").write_text(settings)
    options = configuration / "jvm.options"
    options.write_text(jvm_options(options.read_text(), folder))
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    (folder / "tmp").mkdir()
    return configuration


def settings(engine: Engine, folder: Path, port: int, transport_port: int) -> str:
    """The settings of one node on the loopback address."""
    return f"""\
cluster.name: kafka-to-search
node.name: node-1
path.data: {folder}/data
path.logs: {folder}/logs
network.host: 127.0.0.1
http.port: {port}
transport.port: {transport_port}
discovery.type: single-node
action.auto_create_index: true
# A nearly full disk is no reason for a local index to turn read-only.
cluster.routing.allocation.disk.threshold_enabled: false
"""


def jvm_options(shipped: str, folder: Path) -> str:
    """The shipped jvm.options without its garbage collection log, and with what a crash leaves in our folder.

    The paths in it are relative to the node's home, which is in the cache and not for writing.
    """
    log = r"Xlog:gc|Xlog:disable|Xloggc|UseGCLog|NumberOfGCLog|GCLogFile|PrintGC|PrintTenuring"
    kept = [line for line in shipped.splitlines() if not re.search(log, line)]
    text = "\n".join(kept) + "\n"
    text = re.sub(r"(?m)^-XX:HeapDumpPath=.*", f"-XX:HeapDumpPath={folder}", text)
    return re.sub(r"(?m)^(\S*)-XX:ErrorFile=.*", rf"\1-XX:ErrorFile={folder}/hs_err_pid%p.log", text)


def java_options(environment: dict | os._Environ) -> str:
    """Heap and compiler: by default what starts sooner, the first compiler alone and a heap touched as it is used."""
    heap = environment.get("OPENSEARCH_HEAP", "1g")
    quick = "" if environment.get("STACK_OPENSEARCH_C2") == "1" else " -XX:TieredStopAtLevel=1 -XX:-AlwaysPreTouch"
    own = environment.get("OPENSEARCH_JAVA_OPTS", "")
    return f"-Xms{heap} -Xmx{heap} -Djava.net.preferIPv4Stack=true{quick} {own}".rstrip()


def variables(engine: Engine, folder: Path, java_home: Path, options: str) -> dict[str, str]:
    """The environment of the node and of its tools."""
    return {
        **os.environ,
        "JAVA_HOME": str(java_home),
        f"{engine.prefix}_JAVA_HOME": str(java_home),
        f"{engine.prefix}_PATH_CONF": str(folder / "config"),
        f"{engine.prefix}_TMPDIR": str(folder / "tmp"),
        f"{engine.prefix}_JAVA_OPTS": options,
    }


def check_ports(engine: Engine, instance: Instance, server: str) -> tuple[int, int]:
    """A server's two ports, which must be free."""
    client, transport = engine.ports(server)
    for variable in (client, transport):
        require_free(instance.port(variable), variable, engine.title)
    return instance.port(client), instance.port(transport)


def run(
    engine: Engine, instance: Instance, server: str, home: Path, environment: dict[str, str], ready: Callable[[], bool],
    release: str,
) -> None:  # fmt: skip
    """Starts a configured node; returns when it is ready."""
    folder, log = instance.server_folder(server), instance.log(server)
    port = instance.port(engine.ports(server)[0])
    with step(f"starting {server} on 127.0.0.1:{port}"):
        command = [*_drop_root(engine), str(home / "bin" / engine.program)]
        process, popen = launch(command, log, folder, environment)
        instance.remember(server, process, release)
        wait_until(ready, popen, server, log, START_TIMEOUT_S)


def _drop_root(engine: Engine) -> list[str]:
    """What to put before the command, because the node refuses to run as root.

    A user namespace shows the process another user id while its files stay ours. Where namespaces are refused, it gets
    another user id for real and keeps the right to reach our files (also when access(2) is asked, hence the securebit). So
    it takes no system user, no chown, and no home folder that everyone may read.
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
        f"{engine.title} refuses to run as root, and this root may neither make a user namespace (unshare) nor change its "
        "user (setpriv): run the command as another user"
    )
