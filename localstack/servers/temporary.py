"""Servers for the length of one command: an empty, deployed stack or those that are named; stopped in the end, whatever happens."""

import os
import shutil
import signal
import subprocess
import sys

import deployment
import kafka
import localstack
import opensearch
import progress
import sam
import servers
from errors import StackError
from instance import Instance


def run(instance: Instance, command: list[str], named: list[str] | None = None) -> int:
    """Runs the command, which finds the servers by STACK_INSTANCE, their addresses and the AWS variables; returns its exit code.

    Servers that are named are started and nothing else is; without names it is the whole stack, deployed.
    """
    if not command:
        raise StackError("say which command to run: stack.py with -- COMMAND")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that being ended stops the servers too
    try:
        _empty(instance)
        if named:
            servers.start(instance, named, free_ports=True)
        else:
            servers.fetch(servers.STACK)  # the poller too, so that a test that starts it does not wait for a build
            servers.start(instance, [kafka.NAME, opensearch.NAME, localstack.NAME], free_ports=True)
            deployment.deploy(instance, [])
        environment = {
            **os.environ,
            **sam.aws_variables(instance),  # so that nothing in the command can reach AWS by mistake
            "STACK_INSTANCE": instance.name,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.info(instance)["bootstrap_servers"],
            "SEARCH_ENDPOINT": opensearch.info(instance)["endpoint"],
        }
        code = subprocess.run(command, env=environment, check=False).returncode
        if code != 0:
            progress.say(
                f"`{' '.join(command)}` ended with exit code {code}; the servers' logs stay in {instance.folder}"
            )
        return code
    finally:
        servers.stop(instance, list(servers.SERVERS))


def _empty(instance: Instance) -> None:
    """Stops what an earlier run may have left, and removes its data."""
    servers.stop(instance, list(servers.SERVERS))
    shutil.rmtree(instance.folder, ignore_errors=True)
