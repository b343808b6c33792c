"""Runs the command line `provision` against the demo's cluster, or the one that SEARCH_ENDPOINT or SEARCH_DOMAIN names."""

import os
import subprocess
import sys

from local_stack import progress, sam
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.servers.opensearch import OPENSEARCH


def run(instance: Instance, words: list[str]) -> int:
    """Builds the program and runs it; returns its exit code."""
    environment = dict(os.environ)
    if not environment.get("SEARCH_ENDPOINT") and not environment.get("SEARCH_DOMAIN"):
        if not instance.running(OPENSEARCH.name):
            raise StackError("the demo's OpenSearch does not run: start it with `make demo`, or set SEARCH_ENDPOINT")
        environment |= OPENSEARCH.environment(instance)
    program = sam.compile_functions(instance, ["provision"]) / "provision" / "bootstrap"
    return subprocess.run([str(program), *(words or ["--help"])], env=environment, check=False).returncode


def main() -> int:
    """Runs it; prints a failure in one message."""
    try:
        return run(Instance("demo"), sys.argv[1:])
    except StackError as error:
        progress.say(f"error: {error}")
        return 1
