"""The local stack without Docker: Kafka, OpenSearch, LocalStack and the poller, started and stopped as plain processes.

`stack.py --help` lists the commands; localstack/servers/README.md explains them.
"""

import argparse
import json
import sys
from pathlib import Path

from local_stack import environments, lifecycle, prerequisites, sam
from local_stack.command_line import exit_code
from local_stack.commands import mapping_problems, temporary
from local_stack.instance import Instance, instances
from local_stack.server import Server
from local_stack.servers.poller import POLLER
from local_stack.servers.table import CLUSTERS, SERVERS, STACK, live_test_prerequisites, stack_prerequisites


def main() -> int:
    """Runs one command."""
    arguments = _arguments()
    return exit_code(
        lambda: arguments.command(arguments),
        "the started servers still run: `stack.py status` lists them, `stack.py stop` stops them",
    )


def _prerequisites_command(arguments: argparse.Namespace) -> int:
    prerequisites.require(live_test_prerequisites() if arguments.tests else stack_prerequisites())
    for each in stack_prerequisites():
        print(f"{each.name:<12}{each.found()}")
    print(f"{'Python':<12}{sys.version.split()[0]} ({sys.executable})")
    return 0


def _fetch_command(arguments: argparse.Namespace) -> int:
    lifecycle.fetch(_named(arguments.servers) or STACK)
    environments.ensure("tools")
    return 0


def _start_command(arguments: argparse.Namespace) -> int:
    servers = _named([name for names in arguments.servers for name in names])
    lifecycle.start(Instance(arguments.instance), servers, free_ports=arguments.free_ports)
    return 0


def _stop_command(arguments: argparse.Namespace) -> int:
    lifecycle.stop(Instance(arguments.instance), _named(arguments.servers) or SERVERS.values())
    return 0


def _kill_command(arguments: argparse.Namespace) -> int:
    SERVERS[arguments.server].kill(Instance(arguments.instance))
    return 0


def _status_command(arguments: argparse.Namespace) -> int:
    listed = [Instance(arguments.instance)] if arguments.instance else instances()
    if not any(instance.exists() for instance in listed):
        print("no stack was started from this checkout")
    for instance in filter(Instance.exists, listed):
        started = lifecycle.info(instance)
        for name, known in started.items():
            where = known.get("address") or known.get("endpoint") or ""
            state = f"runs, pid {known['pid']}" if known["running"] else "ended by itself"
            print(f"{instance.name:<12} {name:<19}{where:<26}{state:<22}{known['log']}")
        if started.get(POLLER.name, {}).get("running"):
            for problem in mapping_problems.of_instance(instance):
                print(f"{instance.name:<12} {problem}")
        if not started:
            print(f"{instance.name:<12} stopped; its data is in {instance.folder}")
    return 0


def _info_command(arguments: argparse.Namespace) -> int:
    print(json.dumps(lifecycle.info(Instance(arguments.instance)), indent=2))
    return 0


def _exec_command(arguments: argparse.Namespace) -> int:
    return sam.run(Instance(arguments.instance), _after_dashes(arguments.run))


def _deploy_command(arguments: argparse.Namespace) -> int:
    sam.deploy(Instance(arguments.instance), _after_dashes(arguments.parameters))
    return 0


def _rules_command(arguments: argparse.Namespace) -> int:
    sam.deploy_rules(Instance(arguments.instance), Path(arguments.file))
    return 0


def _with_command(arguments: argparse.Namespace) -> int:
    prerequisites.require(stack_prerequisites())
    return temporary.run(
        Instance(arguments.instance), _after_dashes(arguments.run), _named(arguments.servers), deploy=arguments.deploy
    )


def _run_command(arguments: argparse.Namespace) -> int:
    return environments.run(arguments.environment, _after_dashes(arguments.run))


def _named(names: list[str]) -> list[Server]:
    return [SERVERS[name] for name in names]


def _server_names(text: str) -> list[str]:
    names = [node for name in text.split(",") for node in _nodes(name)]
    unknown = [name for name in names if name not in SERVERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no server {', '.join(unknown)}: there are {', '.join(SERVERS)}")
    return names


def _nodes(text: str) -> list[str]:
    """The servers of a name with a number of nodes, such as kafka:3."""
    name, colon, count = text.partition(":")
    if not colon:
        return [name]
    nodes = CLUSTERS.get(name, ())
    if count not in ("1", str(len(nodes))):
        known = ", ".join(f"{cluster}:{len(nodes)}" for cluster, nodes in CLUSTERS.items())
        raise argparse.ArgumentTypeError(f"no cluster {text}: there are {known}")
    return [node.name for node in nodes[: int(count)]]


def _after_dashes(words: list[str]) -> list[str]:
    return words[1:] if words[:1] == ["--"] else words


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="stack.py", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run, help_text: str, *, instance: str | None = "demo") -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help_text, description=help_text)
        added.set_defaults(command=run)
        added.add_argument("--instance", default=instance, metavar="NAME", help="which stack (default: %(default)s)")
        return added

    checking = command(
        "prerequisites", _prerequisites_command, "check what must be installed, and show how to get what is missing"
    )
    checking.add_argument("--tests", action="store_true", help="also for the tests on real servers")
    fetching = command("fetch", _fetch_command, "download and lay out servers (the stack's by default)")
    fetching.add_argument("servers", nargs="*", choices=[*SERVERS, []], metavar="SERVER")
    starting = command("start", _start_command, f"start servers ({', '.join(SERVERS)}) and wait until they are ready")
    starting.add_argument(
        "servers", nargs="+", type=_server_names, metavar="SERVER", help="kafka:3 and opensearch:3 are clusters"
    )
    starting.add_argument("--free-ports", action="store_true", help="pick free ports for a new instance and keep them")
    stopping = command("stop", _stop_command, "stop servers (all of them by default) that this instance started")
    stopping.add_argument("servers", nargs="*", choices=[*SERVERS, []], metavar="SERVER")
    killing = command("kill", _kill_command, "end a server with SIGKILL, for fault tests")
    killing.add_argument("server", choices=SERVERS, metavar="SERVER")
    command("status", _status_command, "list what runs", instance=None)
    command("info", _info_command, "print the servers' addresses, process ids and logs as JSON")
    executing = command(
        "exec", _exec_command, "run a command with sam, cargo-lambda and aws pointed at the instance's LocalStack"
    )
    executing.add_argument("run", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    deploying = command(
        "deploy", _deploy_command, "build the functions and deploy infra/template.yaml to the instance's LocalStack"
    )
    deploying.add_argument("parameters", nargs=argparse.REMAINDER, metavar="-- NAME=VALUE")
    ruling = command(
        "rules", _rules_command, "deploy other rules of topics to the instance's LocalStack, without a build"
    )
    ruling.add_argument("file", metavar="PIPELINE.yaml")
    temporarily = command(
        "with", _with_command, "run a command with an empty, deployed stack on free ports, and stop the stack at the end",
        instance="test",
    )  # fmt: skip
    temporarily.add_argument(
        "--servers",
        type=_server_names,
        default=[],
        metavar="SERVER,…",
        help="only these servers, and no deployment; kafka:3 and opensearch:3 are clusters",
    )
    temporarily.add_argument("--deploy", action="store_true", help="deploy the stack to the servers named")
    temporarily.add_argument("run", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    running = command("run", _run_command, f"run a command in a Python environment ({', '.join(environments.NAMES)})")
    running.add_argument("environment", choices=environments.NAMES, metavar="ENVIRONMENT")
    running.add_argument("run", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    return parser.parse_args()
