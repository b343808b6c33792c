"""Runs `kafka-to-search account` against the demo, or the servers that its options and variables name."""

import os
import sys

from local_stack import sam
from local_stack.command_line import exit_code
from local_stack.commands.kafka_to_search import environment, run
from local_stack.instance import Instance
from local_stack.servers.localstack import LOCALSTACK


def of_demo(instance: Instance, words: list[str]) -> tuple[list[str], dict[str, str]]:
    """The program's words and variables. With the demo's Kafka come its mappings, and the rules that were deployed to it."""
    variables = environment(instance)
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or not instance.running(LOCALSTACK.name):
        return ["account", *words], variables
    rules = sam.rules_file(instance)
    has_rules = any(word.split("=")[0] == "--pipeline" for word in words)
    given = ["--pipeline", str(rules)] if rules.exists() and not has_rules else []
    return ["account", *given, *words], variables | LOCALSTACK.environment(instance)


def main() -> int:
    """Runs it against the demo's instance."""
    return exit_code(
        lambda: run(*of_demo(Instance("demo"), sys.argv[1:])), "run it again: documents that are there stay as they are"
    )
