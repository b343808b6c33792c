"""Runs the program `kafka-to-search` against the demo's servers, or those that its options and variables name."""

import os
import subprocess

from local_stack import paths
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.servers.kafka import KAFKA
from local_stack.servers.opensearch import OPENSEARCH

SERVERS = {"KAFKA_BOOTSTRAP_SERVERS": KAFKA, "SEARCH_ENDPOINT": OPENSEARCH}


def environment(instance: Instance) -> dict[str, str]:
    """This environment, with the addresses of the demo's servers where it names no others."""
    variables = dict(os.environ)
    for name, server in SERVERS.items():
        if not variables.get(name):
            if not instance.running(server.name):
                raise StackError(f"the demo's {server.name} does not run: start it with `make demo`, or set {name}")
            variables[name] = server.environment(instance)[name]
    return variables


def run(words: list[str], variables: dict[str, str]) -> int:
    """Builds the program and runs it with these words; returns its exit code."""
    command = ["cargo", "run", "--locked", "--quiet", "--package", "kafka-to-search", "--", *words]
    return subprocess.run(command, cwd=paths.REPOSITORY, env=variables, check=False).returncode
