"""LocalStack as a plain process with the project's extension: functions run without Docker, Kafka mappings can be created."""

import os
from collections.abc import Mapping
from pathlib import Path

from local_stack import environments, prerequisites, rest
from local_stack.instance import Instance
from local_stack.ports import Port
from local_stack.prerequisites import Prerequisite
from local_stack.server import Launch, Server

REGION = "us-east-1"


class LocalStack(Server):
    """LocalStack. It holds its state in memory: deploy after each start."""

    name = "localstack"
    title = "LocalStack"
    ports = (Port("LOCALSTACK_PORT", 4566),)

    def prerequisites(self) -> list[Prerequisite]:
        """Rust, for the functions that it runs."""
        return [prerequisites.rust()]

    def fetch(self) -> Path:
        """Returns LocalStack's Python environment."""
        environments.extension()
        return environments.ensure("localstack")

    def release(self, fetched: Path) -> str:
        """The environment and the extension."""
        extension = environments.extension()
        return f"{fetched.name} {extension.name if extension else 'without extension'}"

    def prepare(self, instance: Instance, fetched: Path) -> Launch:
        """Makes a folder for temporary files."""
        folder = instance.server_folder(self.name)
        (folder / "tmp").mkdir(exist_ok=True)
        # -P: Python does not import modules from the folder that it starts in.
        command = [str(fetched / "bin" / "python"), "-P", "-m", "localstack.runtime.main"]
        return Launch(command, settings(os.environ, self.port(instance), folder, environments.extension()))

    def ready(self, instance: Instance) -> bool:
        """Whether the gateway responds."""
        return rest.succeeds(f"{self.info(instance)['endpoint']}/_localstack/health")

    def info(self, instance: Instance) -> dict[str, str]:
        """The endpoint of every AWS API."""
        return {"endpoint": f"http://127.0.0.1:{self.port(instance)}"}

    def environment(self, instance: Instance) -> dict[str, str]:
        """The AWS variables: credentials that mean nothing to AWS, and none of the user's configuration."""
        return {
            "AWS_ENDPOINT_URL": self.info(instance)["endpoint"],
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
        }


LOCALSTACK = LocalStack()


def settings(environment: Mapping[str, str], port: int, folder: Path, extension: Path | None) -> dict[str, str]:
    """LocalStack's environment variables: no Docker, no name server, no downloads, all files in our folder."""
    address = f"127.0.0.1:{port}"
    inherited = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
    chosen = {
        "GATEWAY_LISTEN": address,
        "LOCALSTACK_HOST": address,
        "FILESYSTEM_ROOT": str(folder / "files"),
        "TMPDIR": str(folder / "tmp"),
        # On a machine without an init system it would believe that it runs in its container.
        "OVERRIDE_IN_DOCKER": "0",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DNS_ADDRESS": "0",
        # Addresses that need no name server.
        "SQS_ENDPOINT_STRATEGY": "path",
        "OPENSEARCH_ENDPOINT_STRATEGY": "path",
    }
    if extension:
        chosen |= {"PYTHONPATH": str(extension), "LAMBDA_RUNTIME_EXECUTOR": "process"}
    return inherited | chosen
