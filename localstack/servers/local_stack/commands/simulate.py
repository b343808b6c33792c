"""Runs `kafka-to-search simulate` against the demo's Kafka and cluster, or those that its options and variables name."""

import sys

from local_stack.command_line import exit_code
from local_stack.commands.kafka_to_search import environment, run
from local_stack.instance import Instance


def main() -> int:
    """Runs it against the demo's instance."""
    return exit_code(
        lambda: run(["simulate", *sys.argv[1:]], environment(Instance("demo"))), "run it again: it changes no event"
    )
