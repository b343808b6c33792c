"""OpenSearch with its security plugin: TLS, users and roles. It is for tests of credentials; the demo does without.

The newest release whose security plugin is published on its own is older than the one of `opensearch.py`, and its zip has
no modules except the transport. Of the published modules it gets the one that the index templates need.
"""

import os
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from local_stack import java, maven, paths, prerequisites
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.layout import once
from local_stack.prerequisites import Prerequisite
from local_stack.server import Launch
from local_stack.servers import credentials
from local_stack.servers.credentials import Credentials
from local_stack.servers.search_node import OPENSEARCH_ENGINE, java_options, unpack
from local_stack.servers.secured_node import SecuredNode
from local_stack.versions import pinned

ADMINISTRATOR = "admin"


class SecuredOpenSearch(SecuredNode):
    """OpenSearch with its security plugin, set up for one administrator."""

    engine = OPENSEARCH_ENGINE
    administrator = ADMINISTRATOR

    def prerequisites(self) -> list[Prerequisite]:
        """A JDK, and Maven."""
        return [prerequisites.jdk(), prerequisites.maven()]

    def fetch(self) -> Path:
        """Returns the home of the server with its plugin."""
        return once(paths.cache() / f"opensearch-{pinned()[self.name]['version']}-secured", self._lay_out)

    def prepare(self, instance: Instance, fetched: Path) -> Launch:
        """Makes the credentials and writes the configuration."""
        own = credentials.ensure(instance, self.name)
        text = self.settings(instance) + security_settings(own.password)
        configuration = self.configure(instance, fetched, text)
        (configuration / "opensearch.yml").chmod(0o600)
        shutil.copy2(own.keystore, configuration / own.keystore.name)
        shutil.copy2(_users(fetched, own), configuration / "opensearch-security" / "internal_users.yml")
        return self.launch(fetched, self.variables(instance, java.home(), java_options(os.environ)))

    def _lay_out(self, into: Path) -> None:
        versions = pinned()[self.name]
        version = versions["version"]
        artifact = f"org.opensearch.distribution.integ-test-zip:opensearch:{version}:zip"
        unpack(self.engine, versions["download-mb"], artifact, into)
        _add_mapper_extras(into, version)
        _add_security(into, versions)


OPENSEARCH_SECURED = SecuredOpenSearch("opensearch-secured", "OpenSearch with security", 9201, 9301)


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
plugins.security.nodes_dn: ["{credentials.NODE}"]
plugins.security.allow_default_init_securityindex: true
plugins.security.restapi.roles_enabled: ["all_access", "security_rest_api_access"]
plugins.security.audit.type: noop
"""


def users_file(password_hash: str) -> str:
    """internal_users.yml with the administrator."""
    return f"""\
_meta: {{type: internalusers, config_version: 2}}
{ADMINISTRATOR}: {{hash: "{password_hash}", reserved: true, backend_roles: ["admin"], description: "this instance's administrator"}}
"""


def _users(home: Path, own: Credentials) -> Path:
    """The users that the first start loads: the administrator alone, none of the shipped ones with their known passwords."""
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
            raise StackError(f"{tool} printed no hash: {(done.stdout + done.stderr).strip()}")
        credentials.write_private(users, users_file(lines[-1]))
    return users


def _add_mapper_extras(home: Path, version: str) -> None:
    """Adds the module with the field types beyond the core's; its jar is published without the descriptor."""
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
    # The descriptor names plugins that it can extend; they are not published. All that the plugin needs of them is one
    # library.
    descriptor = plugin / "plugin-descriptor.properties"
    lines = descriptor.read_text().splitlines()
    descriptor.write_text("\n".join(line for line in lines if not line.startswith("extended.plugins=")) + "\n")
    library = f"org.apache.commons:commons-collections4:{versions['commons-collections4']}"
    maven.copy("fetching a library of the security plugin", library, plugin)
