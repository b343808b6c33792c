"""OpenSearch with its security plugin: TLS, users and roles. For tests of credentials; the demo does without.

The newest release whose security plugin is published on its own is older than the one of `opensearch.py`, and its zip has
no modules besides the transport: of those that are published, it gets what the index templates need.
"""

import os
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

import identity
import java
import maven
import paths
import search_node
from errors import StackError
from identity import Identity
from instance import Instance
from layout import once
from search_node import OPENSEARCH, STOP_GRACE_S  # noqa: F401  (the grace is what each server has)
from versions import pinned

NAME = "opensearch-secured"
ADMINISTRATOR = "admin"


def fetch() -> Path:
    """Returns the home of the server with its plugin."""
    return once(paths.cache() / f"opensearch-{pinned()[NAME]['version']}-secured", _lay_out)


def release() -> str:
    """What would be started now, to tell whether what runs is older."""
    return fetch().name


def start(instance: Instance) -> None:
    """Starts the node; returns when the administrator is let in and the cluster is healthy."""
    home, folder = fetch(), instance.server_folder(NAME)
    ports = search_node.check_ports(OPENSEARCH, instance, NAME)
    own = identity.ensure(instance, NAME)
    text = search_node.settings(OPENSEARCH, folder, *ports) + security_settings(own.password)
    configuration = search_node.configure(OPENSEARCH, home, folder, text)
    (configuration / "opensearch.yml").chmod(0o600)
    shutil.copy2(own.keystore, configuration / own.keystore.name)
    shutil.copy2(_users(home, own), configuration / "opensearch-security" / "internal_users.yml")
    environment = search_node.variables(OPENSEARCH, folder, java.home(), search_node.java_options(os.environ))
    known = info(instance)
    search_node.run(OPENSEARCH, instance, NAME, home, environment, lambda: identity.healthy(known), release())


def info(instance: Instance) -> dict:
    """Where clients connect, and with what."""
    return identity.info(instance, NAME, instance.port("OPENSEARCH_SECURED_PORT"), ADMINISTRATOR, "opensearch")


def security_settings(password: str) -> str:
    """The lines of opensearch.yml that turn TLS and users on."""
    stores = "".join(
        f"""\
plugins.security.ssl.{layer}.{store}_type: PKCS12
plugins.security.ssl.{layer}.{store}_filepath: node.p12
plugins.security.ssl.{layer}.{store}_password: {password}
"""
        for layer in ("transport", "http")
        for store in ("keystore", "truststore")
    )
    return f"""\
{stores}\
plugins.security.ssl.http.enabled: true
plugins.security.ssl.http.keystore_alias: node
plugins.security.ssl.transport.keystore_alias: node
plugins.security.ssl.transport.enforce_hostname_verification: false
plugins.security.nodes_dn: ["{identity.NODE}"]
plugins.security.allow_default_init_securityindex: true
plugins.security.restapi.roles_enabled: ["all_access", "security_rest_api_access"]
plugins.security.audit.type: noop
"""


def _users(home: Path, own: Identity) -> Path:
    """The users that the first start takes in: the administrator alone, none of the shipped ones with their known passwords."""
    users = own.folder / "internal_users.yml"
    if not users.exists():
        tool = home / "plugins" / "opensearch-security" / "tools" / "hash.sh"
        # Not on the command line, which everybody on the machine can read.
        environment = {**os.environ, "OPENSEARCH_JAVA_HOME": str(java.home()), "STACK_PASSWORD": own.password}
        done = subprocess.run(
            ["bash", str(tool), "-env", "STACK_PASSWORD"], env=environment, capture_output=True, text=True, check=False
        )
        lines = done.stdout.strip().splitlines()
        if done.returncode != 0 or not lines or not lines[-1].startswith("$2"):
            raise StackError(f"{tool} gave no hash: {(done.stdout + done.stderr).strip()}")
        identity.write_private(users, users_file(lines[-1]))
    return users


def users_file(password_hash: str) -> str:
    """internal_users.yml with the administrator."""
    return f"""\
_meta: {{type: internalusers, config_version: 2}}
{ADMINISTRATOR}: {{hash: "{password_hash}", reserved: true, backend_roles: ["admin"], description: "this instance's administrator"}}
"""


def _lay_out(into: Path) -> None:
    versions = pinned()[NAME]
    version = versions["version"]
    artifact = f"org.opensearch.distribution.integ-test-zip:opensearch:{version}:zip"
    search_node.unpack("OpenSearch", versions["download-mb"], artifact, into)
    _add_mapper_extras(into, version)
    _add_security(into, versions)


def _add_mapper_extras(home: Path, version: str) -> None:
    """The module with the field types beyond the core's; what is published is its jar, without the descriptor."""
    module = home / "modules" / "mapper-extras"
    artifact = f"org.opensearch.plugin:mapper-extras-client:{version}"
    maven.copy(f"fetching OpenSearch {version}'s module mapper-extras", artifact, module)
    (module / "plugin-descriptor.properties").write_text(f"""\
description=Adds advanced field mappers
version={version}
name=mapper-extras
classname=org.opensearch.index.mapper.MapperExtrasModulePlugin
java.version=21
opensearch.version={version}
has.native.controller=false
""")


def _add_security(home: Path, versions: dict) -> None:
    """Lays the plugin out as `opensearch-plugin install` does."""
    plugin = home / "plugins" / "opensearch-security"
    with tempfile.TemporaryDirectory(dir=paths.cache()) as aside:
        artifact = f"org.opensearch.plugin:opensearch-security:{versions['plugin']}:zip"
        maven.copy(
            f"fetching the security plugin {versions['plugin']} ({versions['plugin-mb']} MB)", artifact, Path(aside)
        )
        with zipfile.ZipFile(Path(aside) / f"opensearch-security-{versions['plugin']}.zip") as archive:
            archive.extractall(plugin)
    (plugin / "config").replace(home / "config" / "opensearch-security")
    # It names plugins whose classes it can use where they are; they are not published. What it took from them otherwise is
    # one library.
    descriptor = plugin / "plugin-descriptor.properties"
    lines = descriptor.read_text().splitlines()
    descriptor.write_text("\n".join(line for line in lines if not line.startswith("extended.plugins=")) + "\n")
    library = f"org.apache.commons:commons-collections4:{versions['commons-collections4']}"
    maven.copy("fetching a library of the security plugin", library, plugin)
