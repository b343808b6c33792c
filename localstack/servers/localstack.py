"""LocalStack as a plain process, with the project's extension: functions run without Docker, Kafka mappings can be made."""

import os
from pathlib import Path

import environments
import rest
from instance import Instance, require_free
from process import launch, wait_until
from progress import step

NAME = "localstack"
START_TIMEOUT_S = 120
STOP_GRACE_S = 30


def fetch() -> Path:
    """Returns LocalStack's Python environment."""
    environments.extension()
    return environments.ensure(NAME)


def release() -> str:
    """What would be started now, to tell whether what runs is older."""
    extension = environments.extension()
    return f"{environments.ensure(NAME).name} {extension.name if extension else 'without extension'}"


def start(instance: Instance) -> None:
    """Starts LocalStack; returns when its gateway answers. It holds its state in memory: deploy after each start."""
    environment = fetch()
    extension = environments.extension()
    port = instance.port("LOCALSTACK_PORT")
    require_free(port, "LOCALSTACK_PORT", "LocalStack")
    folder, log = instance.server_folder(NAME), instance.log(NAME)
    (folder / "tmp").mkdir(exist_ok=True)
    with step(f"starting LocalStack on 127.0.0.1:{port}"):
        process, popen = launch(
            # -P: the folder it starts in holds no modules of its own.
            [str(environment / "bin" / "python"), "-P", "-m", "localstack.runtime.main"],
            log, folder, settings(os.environ, port, folder, extension),
        )  # fmt: skip
        instance.remember(NAME, process, release())
        health = f"{info(instance)['endpoint']}/_localstack/health"
        wait_until(lambda: rest.answers(health), popen, "LocalStack", log, START_TIMEOUT_S)


def info(instance: Instance) -> dict:
    """Where clients connect."""
    return {"endpoint": f"http://127.0.0.1:{instance.port('LOCALSTACK_PORT')}"}


def settings(environment: dict | os._Environ, port: int, folder: Path, extension: Path | None) -> dict[str, str]:
    """LocalStack's environment variables: no Docker, no name server, nothing downloaded, all files in our folder."""
    address = f"127.0.0.1:{port}"
    inherited = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
    chosen = {
        "GATEWAY_LISTEN": address,
        "LOCALSTACK_HOST": address,
        "FILESYSTEM_ROOT": str(folder / "files"),
        "TMPDIR": str(folder / "tmp"),
        # It would take a machine without an init system for its container.
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
