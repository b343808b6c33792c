"""Starts, stops and describes the servers of an instance together."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import elasticsearch
import elasticsearch_6
import kafka
import localstack
import opensearch
import opensearch_secured
import poller
import process
import progress
from errors import StackError
from instance import Instance
from process import Identity

# What the project's stack is made of, in the order in which it is started; it is stopped in the reverse order.
STACK = [server.NAME for server in (kafka, opensearch, localstack, poller)]
# All there are. Those with TLS and users are for tests, and started only where they are named.
SERVERS: dict[str, ModuleType] = {
    server.NAME: server
    for server in (kafka, opensearch, opensearch_secured, elasticsearch, elasticsearch_6, localstack, poller)
}


def start(instance: Instance, names: list[str], *, free_ports: bool = False) -> None:
    """Starts servers side by side; the poller last, since it needs LocalStack."""
    instance.choose_ports(free=free_ports)
    fetch(names)
    together = [name for name in names if name != poller.NAME]
    with ThreadPoolExecutor(max_workers=len(SERVERS)) as pool:
        outcomes = [pool.submit(_start_one, instance, name) for name in together]
    failures = [error for outcome in outcomes if (error := outcome.exception())]
    for error in failures:
        if not isinstance(error, StackError):
            raise error
    if failures:
        raise StackError("\n".join(str(error) for error in failures))
    if poller.NAME in names:
        _start_one(instance, poller.NAME)


def stop(instance: Instance, names: list[str]) -> None:
    """Stops servers, the poller first, so that it can finish what it has in flight."""
    for name in [name for name in reversed(SERVERS) if name in names]:
        end(instance, name, lambda found, grace_s=SERVERS[name].STOP_GRACE_S: process.stop(found, grace_s))


def end(instance: Instance, name: str, how: Callable[[Identity], str]) -> None:
    """Ends one server's recorded process in the given way, and forgets it."""
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
            running = found.alive()
            known[name] = {
                **server.info(instance),
                "pid": found.pid if running else None,
                "running": running,
                "log": str(instance.log(name)),
            }
    return known


def _start_one(instance: Instance, name: str) -> None:
    with instance.exclusive(name):
        found, server = instance.running(name), SERVERS[name]
        if found and instance.release(name) == server.release():
            progress.say(f"   ok {name} already runs (pid {found.pid})")
            return
        if found:
            with progress.step(f"stopping {name}, which runs an older release"):
                process.stop(found, server.STOP_GRACE_S)
        server.start(instance)
