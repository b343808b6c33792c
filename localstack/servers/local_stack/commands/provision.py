"""Runs the command line `provision` against the demo's cluster, or the one that SEARCH_ENDPOINT or SEARCH_DOMAIN names."""

import os
import subprocess
import sys

from local_stack import sam
from local_stack.command_line import exit_code
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
        if sam.rules_file(instance).exists():
            environment.setdefault("PIPELINE_FILE", str(sam.rules_file(instance)))
    program = sam.compile_functions(instance, ["provision"]) / "provision" / "bootstrap"
    return subprocess.run([str(program), *(words or ["--help"])], env=environment, check=False).returncode


def main() -> int:
    """Runs it against the demo's instance."""
    return exit_code(lambda: run(Instance("demo"), sys.argv[1:]), "run it again: it changes only what still differs")
