"""Runs `kafka-to-search simulate` against the demo's Kafka and cluster, or those that its options and variables name."""

import os
import subprocess
import sys

from local_stack import paths
from local_stack.command_line import exit_code
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


def run(instance: Instance, words: list[str]) -> int:
    """Builds the program and runs it; returns its exit code."""
    command = ["cargo", "run", "--locked", "--quiet", "--package", "kafka-to-search", "--", "simulate", *words]
    return subprocess.run(command, cwd=paths.REPOSITORY, env=environment(instance), check=False).returncode


def main() -> int:
    """Runs it against the demo's instance."""
    return exit_code(lambda: run(Instance("demo"), sys.argv[1:]), "run it again: it changes no event")
