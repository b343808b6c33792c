"""Servers for one command: an empty, deployed stack or the servers named, stopped at the end, whatever happens."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence

from local_stack import lifecycle, progress, sam
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.server import Server
from local_stack.servers.table import DEPLOYMENT, STACK


def run(instance: Instance, command: list[str], named: Sequence[Server] = (), *, deploy: bool = False) -> int:
    """Runs the command and returns its exit code. The command finds the servers by STACK_INSTANCE and the servers' variables.

    If servers are named, only they are started, and the stack is deployed only with `deploy`. Otherwise the whole stack is
    started and deployed.
    """
    if not command:
        raise StackError("name the command to run: stack.py with -- COMMAND")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that SIGTERM stops the servers too
    try:
        _empty(instance)
        if named:
            lifecycle.start(instance, named, free_ports=True)
            if deploy:
                sam.deploy(instance, [])
        else:
            lifecycle.fetch(STACK)  # the poller too, so that a test that starts it does not wait for a build
            lifecycle.start(instance, DEPLOYMENT, free_ports=True)
            sam.deploy(instance, [])
        # LocalStack's variables are set even if it does not run, so that the command cannot reach AWS by mistake.
        exporting = dict.fromkeys((*STACK, *named))
        exported = {name: value for server in exporting for name, value in server.environment(instance).items()}
        environment = {**os.environ, **exported, "STACK_INSTANCE": instance.name}
        code = subprocess.run(command, env=environment, check=False).returncode
        if code != 0:
            progress.say(
                f"`{' '.join(command)}` ended with exit code {code}; the servers' logs stay in {instance.folder}"
            )
        return code
    finally:
        lifecycle.stop(instance)


def _empty(instance: Instance) -> None:
    """Stops what an earlier run may have left, and removes its data."""
    lifecycle.stop(instance)
    shutil.rmtree(instance.folder, ignore_errors=True)
