"""Runs the command line `provision` against the demo's cluster, or the one that SEARCH_ENDPOINT or SEARCH_DOMAIN names."""

import os
import subprocess
import sys

import opensearch
import progress
import sam
from errors import StackError
from instance import Instance


def run(instance: Instance, words: list[str]) -> int:
    """Builds the program and runs it; returns its exit code."""
    environment = dict(os.environ)
    if not environment.get("SEARCH_ENDPOINT") and not environment.get("SEARCH_DOMAIN"):
        if not instance.running(opensearch.NAME):
            raise StackError("the demo's OpenSearch does not run: start it with `make demo`, or set SEARCH_ENDPOINT")
        environment["SEARCH_ENDPOINT"] = opensearch.info(instance)["endpoint"]
    program = sam.compile_functions(instance, ["provision"]) / "provision" / "bootstrap"
    return subprocess.run([str(program), *(words or ["--help"])], env=environment, check=False).returncode


def main() -> int:
    """Runs it; a failure is told in words."""
    try:
        return run(Instance("demo"), sys.argv[1:])
    except StackError as error:
        progress.say(f"error: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
