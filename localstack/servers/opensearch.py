"""OpenSearch: one node with every module and no security plugin, from the released zip."""

import os
import platform
import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

import java
import maven
import paths
import rest
from errors import StackError
from instance import Instance, require_free
from layout import once
from process import launch, wait_until
from progress import step
from versions import pinned

NAME = "opensearch"
START_TIMEOUT_S = 240
STOP_GRACE_S = 60
UNPRIVILEGED = 1000


def fetch() -> Path:
    """Returns OpenSearch's home."""
    version = pinned()["opensearch"]["version"]
    return once(paths.cache() / f"opensearch-{version}", lambda into: _lay_out(version, into))


def release() -> str:
    """What would be started now, to tell whether what runs is older."""
    return fetch().name


def start(instance: Instance) -> None:
    """Starts the node; returns when the cluster is healthy."""
    home = fetch()
    port, transport_port = instance.port("OPENSEARCH_PORT"), instance.port("OPENSEARCH_TRANSPORT_PORT")
    require_free(port, "OPENSEARCH_PORT", "OpenSearch")
    require_free(transport_port, "OPENSEARCH_TRANSPORT_PORT", "OpenSearch")
    folder, log = instance.server_folder(NAME), instance.log(NAME)
    configuration = folder / "config"
    shutil.rmtree(configuration, ignore_errors=True)
    shutil.copytree(home / "config", configuration)
    own = os.environ.get("OPENSEARCH_SETTINGS", "")
    (configuration / "opensearch.yml").write_text(f"{settings(folder, port, transport_port)}{own}\n")
    options = configuration / "jvm.options"
    options.write_text(jvm_options(options.read_text(), folder))
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    (folder / "tmp").mkdir()
    environment = {
        **os.environ,
        "OPENSEARCH_JAVA_HOME": str(java.home()),
        "OPENSEARCH_PATH_CONF": str(configuration),
        "OPENSEARCH_TMPDIR": str(folder / "tmp"),
        "OPENSEARCH_JAVA_OPTS": java_options(os.environ),
    }
    with step(f"starting OpenSearch on 127.0.0.1:{port}"):
        process, popen = launch([*_drop_root(), str(home / "bin" / "opensearch")], log, folder, environment)
        instance.remember(NAME, process, release())
        health = f"{info(instance)['endpoint']}/_cluster/health?wait_for_status=yellow&timeout=1s"
        wait_until(lambda: rest.answers(health), popen, "OpenSearch", log, START_TIMEOUT_S)


def info(instance: Instance) -> dict:
    """Where clients connect."""
    return {"endpoint": f"http://127.0.0.1:{instance.port('OPENSEARCH_PORT')}"}


def settings(folder: Path, port: int, transport_port: int) -> str:
    """opensearch.yml for one node on the loopback address."""
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

    The paths in it are relative to OpenSearch's home, which is in the cache and not for writing.
    """
    kept = [line for line in shipped.splitlines() if not re.search(r"Xlog:gc|Xloggc|GCLog|PrintGC|PrintTenuring", line)]
    text = "\n".join(kept) + "\n"
    text = re.sub(r"(?m)^-XX:HeapDumpPath=.*", f"-XX:HeapDumpPath={folder}", text)
    return re.sub(r"(?m)^(\S*)-XX:ErrorFile=.*", rf"\1-XX:ErrorFile={folder}/hs_err_pid%p.log", text)


def java_options(environment: dict | os._Environ) -> str:
    """Heap and compiler: by default what starts sooner, the first compiler alone and a heap touched as it is used."""
    heap = environment.get("OPENSEARCH_HEAP", "1g")
    quick = "" if environment.get("STACK_OPENSEARCH_C2") == "1" else " -XX:TieredStopAtLevel=1 -XX:-AlwaysPreTouch"
    own = environment.get("OPENSEARCH_JAVA_OPTS", "")
    return f"-Xms{heap} -Xmx{heap} -Djava.net.preferIPv4Stack=true{quick} {own}".rstrip()


def _lay_out(version: str, into: Path) -> None:
    size_mb = pinned()["opensearch"]["download-mb"]
    with tempfile.TemporaryDirectory(dir=paths.cache()) as aside:
        artifact = f"org.opensearch.distribution.integ-test-zip:opensearch:{version}:zip"
        maven.copy(f"fetching OpenSearch {version} ({size_mb} MB)", artifact, Path(aside))
        with step("unpacking OpenSearch"), zipfile.ZipFile(Path(aside) / f"opensearch-{version}.zip") as archive:
            archive.extractall(aside)
            unpacked = Path(aside) / f"opensearch-{version}"
            for program in (unpacked / "bin").iterdir():
                program.chmod(0o755)  # the zip's modes are not kept by Python
            into.rmdir()
            unpacked.replace(into)


def _drop_root() -> list[str]:
    """What to put before the command, because OpenSearch refuses to run as root.

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
        "OpenSearch refuses to run as root, and this root may neither make a user namespace (unshare) nor change its "
        "user (setpriv): run the command as another user"
    )
