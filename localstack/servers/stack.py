"""The local stack without Docker: Kafka, OpenSearch, LocalStack and the poller, started and stopped as plain processes.

`stack.py --help` lists the commands; README.md beside this file explains them.
"""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import environments
import kafka
import localstack
import opensearch
import poller
import prerequisites
import process
import progress
import sam
from errors import StackError
from instance import Instance, instances

# In the order in which they are started; they are stopped in the reverse order.
SERVERS: dict[str, ModuleType] = {server.NAME: server for server in (kafka, opensearch, localstack, poller)}


def main() -> int:
    """Runs one command; a failure is told in words."""
    arguments = _arguments()
    try:
        return arguments.command(arguments)
    except StackError as error:
        progress.say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        progress.say("interrupted; what was started goes on running: `stack.py status` lists it, `stack.py stop` ends it")
        return 130


def start(instance: Instance, names: list[str], *, free_ports: bool = False) -> None:
    """Starts servers side by side; the poller last, since it needs LocalStack."""
    instance.choose_ports(free=free_ports)
    fetch([name for name in names if not instance.running(name)])
    together = [name for name in names if name != poller.NAME]
    with ThreadPoolExecutor(max_workers=len(SERVERS)) as pool:
        outcomes = [pool.submit(_start_one, instance, name) for name in together]
    failures = [str(error) for outcome in outcomes if (error := outcome.exception())]
    if failures:
        raise StackError("\n".join(failures))
    if poller.NAME in names:
        _start_one(instance, poller.NAME)


def stop(instance: Instance, names: list[str]) -> None:
    """Stops servers, the poller first, so that it can finish what it has in flight."""
    for name in [name for name in reversed(SERVERS) if name in names]:
        _end(instance, name, lambda found, grace_s=SERVERS[name].STOP_GRACE_S: process.stop(found, grace_s))


def fetch(names: list[str]) -> None:
    """Makes everything ready that the servers need, one after another: package managers dislike company."""
    for name in names:
        SERVERS[name].fetch()


def info(instance: Instance) -> dict:
    """What a client needs to know of each server that was started."""
    known = {}
    for name, server in SERVERS.items():
        found = instance.process(name)
        if found:
            known[name] = {
                **server.info(instance),
                "pid": found.pid if found.alive() else None,
                "running": found.alive(),
                "log": str(instance.log(name)),
            }
    return known


def _start_one(instance: Instance, name: str) -> None:
    with instance.exclusive(name):
        found = instance.running(name)
        if found:
            progress.say(f"   ok {name} already runs (pid {found.pid})")
        else:
            SERVERS[name].start(instance)


def _end(instance: Instance, name: str, how) -> None:
    with instance.exclusive(name):
        found = instance.process(name)
        if found is None:
            return
        if found.alive():
            with progress.step(f"stopping {name} (pid {found.pid})"):
                outcome = how(found)
            if outcome not in ("stopped", "killed"):
                progress.say(f"      {name} {outcome}")
        instance.forget(name)


def _prerequisites_command(arguments: argparse.Namespace) -> int:
    prerequisites.require()
    for each in prerequisites.prerequisites():
        print(f"{each.name:<12}{each.found()}")
    print(f"{'Python':<12}{sys.version.split()[0]} ({sys.executable})")
    return 0


def _fetch_command(arguments: argparse.Namespace) -> int:
    fetch(arguments.servers or list(SERVERS))
    environments.ensure("tools")
    return 0


def _start_command(arguments: argparse.Namespace) -> int:
    start(Instance(arguments.instance), arguments.servers, free_ports=arguments.free_ports)
    return 0


def _stop_command(arguments: argparse.Namespace) -> int:
    stop(Instance(arguments.instance), arguments.servers or list(SERVERS))
    return 0


def _kill_command(arguments: argparse.Namespace) -> int:
    _end(Instance(arguments.instance), arguments.server, process.kill)
    return 0


def _status_command(arguments: argparse.Namespace) -> int:
    listed = [Instance(arguments.instance)] if arguments.instance else instances()
    if not any(instance.exists() for instance in listed):
        print("no stack was started from this checkout")
    for instance in filter(Instance.exists, listed):
        for name, known in info(instance).items():
            where = known.get("bootstrap_servers") or known.get("endpoint") or ""
            state = f"runs, pid {known['pid']}" if known["running"] else "ended by itself"
            print(f"{instance.name:<10}{name:<12}{where:<26}{state:<22}{known['log']}")
        if not info(instance):
            print(f"{instance.name:<10}stopped; its data is in {instance.folder}")
    return 0


def _info_command(arguments: argparse.Namespace) -> int:
    print(json.dumps(info(Instance(arguments.instance)), indent=2))
    return 0


def _exec_command(arguments: argparse.Namespace) -> int:
    return sam.run(Instance(arguments.instance), _after_dashes(arguments.run))


def _deploy_command(arguments: argparse.Namespace) -> int:
    sam.deploy(Instance(arguments.instance), _after_dashes(arguments.parameters))
    return 0


def _run_command(arguments: argparse.Namespace) -> int:
    return environments.run(arguments.environment, _after_dashes(arguments.run))


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

    command("prerequisites", _prerequisites_command, "check what must be installed, and say how to get what is missing")
    fetching = command("fetch", _fetch_command, "download and lay out servers (all of them by default)")
    fetching.add_argument("servers", nargs="*", choices=[*SERVERS, []], metavar="SERVER")
    starting = command("start", _start_command, f"start servers ({', '.join(SERVERS)}); returns when they answer")
    starting.add_argument("servers", nargs="+", choices=SERVERS, metavar="SERVER")
    starting.add_argument("--free-ports", action="store_true", help="pick free ports for a new instance and keep them")
    stopping = command("stop", _stop_command, "stop servers (all of them by default) that this instance started")
    stopping.add_argument("servers", nargs="*", choices=[*SERVERS, []], metavar="SERVER")
    killing = command("kill", _kill_command, "end a server with SIGKILL, for fault tests")
    killing.add_argument("server", choices=SERVERS, metavar="SERVER")
    command("status", _status_command, "list what runs", instance=None)
    command("info", _info_command, "print the servers' addresses, process ids and logs as JSON")
    executing = command("exec", _exec_command, "run a command with sam, cargo-lambda and aws pointed at the instance's LocalStack")
    executing.add_argument("run", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    deploying = command("deploy", _deploy_command, "build the functions and deploy infra/template.yaml to the instance's LocalStack")
    deploying.add_argument("parameters", nargs=argparse.REMAINDER, metavar="-- NAME=VALUE")
    running = command("run", _run_command, f"run a command in a Python environment ({', '.join(environments.NAMES)})")
    running.add_argument("environment", choices=environments.NAMES, metavar="ENVIRONMENT")
    running.add_argument("run", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
