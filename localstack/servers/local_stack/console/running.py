"""Lets the console read only servers that its own instance runs: another stack can have the same ports later."""

from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.server import Server


class NotRunning(StackError):
    """The instance does not run the server that was to be read."""


def endpoint(instance: Instance, server: Server) -> str:
    """Where a server that runs is reached."""
    if not instance.running(server.name):
        raise NotRunning(f"{server.title} does not run")
    return server.info(instance)["endpoint"]
