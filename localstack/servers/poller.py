"""kafka-poller: built from this checkout, it serves the Kafka event source mappings of the instance's LocalStack."""

import hashlib
import os
from pathlib import Path

import cargo
import localstack
import sam
from errors import StackError
from instance import Instance, require_free
from process import launch, wait_until
from progress import step

NAME = "poller"
START_TIMEOUT_S = 30
STOP_GRACE_S = 60
# Its port answers before it serves. It logs this when it is ready to be stopped gracefully, and begins to serve.
SERVING = b"serving Kafka event source mappings"


def fetch() -> Path:
    """Returns the built program."""
    return cargo.build("kafka-poller")


def release() -> str:
    """What would be started now, to tell whether what runs is older."""
    return hashlib.sha256(fetch().read_bytes()).hexdigest()


def start(instance: Instance) -> None:
    """Starts the poller; it follows the mappings by itself, so it may start before they are deployed."""
    program = fetch()
    if not instance.running(localstack.NAME):
        raise StackError("the poller needs LocalStack, which does not run: start localstack first")
    folder, log = instance.server_folder(NAME), instance.log(NAME)
    endpoint = localstack.info(instance)["endpoint"]
    port = instance.port("POLLER_PORT")
    require_free(port, "POLLER_PORT", "the poller")
    with step(f"starting the poller on 127.0.0.1:{port}"):
        environment = {**os.environ, **sam.aws_variables(instance)}
        command = [str(program), "serve", "--endpoint-url", endpoint, "--listen", f"127.0.0.1:{port}"]
        process, popen = launch(command, log, folder, environment)
        instance.remember(NAME, process, release())
        wait_until(lambda: SERVING in log.read_bytes(), popen, "the poller", log, START_TIMEOUT_S)


def info(instance: Instance) -> dict:
    """Where it tells its health, status and metrics."""
    return {"endpoint": f"http://127.0.0.1:{instance.port('POLLER_PORT')}"}
