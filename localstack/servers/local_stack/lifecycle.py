"""Fetches, starts, stops and describes several servers of an instance together."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.server import Server
from local_stack.servers.table import CLUSTERS, SERVERS


def start(instance: Instance, servers: Iterable[Server], *, free_ports: bool = False) -> None:
    """Starts servers in parallel; those that need others of them, afterwards."""
    servers = list(servers)
    _choose_nodes(instance, servers)
    # The ports of all servers, so that no command reaches another instance's server by a default port.
    instance.choose_ports({server.name: server.ports for server in SERVERS.values()}, free=free_ports)
    fetched = fetch(servers)
    dependent = [server for server in servers if any(needed in servers for needed in server.needs)]
    _start_together(instance, [server for server in servers if server not in dependent], fetched)
    _start_together(instance, dependent, fetched)


def stop(instance: Instance, servers: Iterable[Server] = tuple(SERVERS.values())) -> None:
    """Stops servers in the reverse order of the table: the poller first, so that it can finish its invocations."""
    wanted = {server.name for server in servers}
    for server in reversed(SERVERS.values()):
        if server.name in wanted:
            server.stop(instance)


def fetch(servers: Iterable[Server]) -> dict[str, Path]:
    """Fetches servers one after another, since package managers don't run well in parallel; returns where each is."""
    return {server.name: server.fetch() for server in servers}


def info(instance: Instance) -> dict[str, dict]:
    """What a client needs to know about each server that was started."""
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


def _choose_nodes(instance: Instance, servers: list[Server]) -> None:
    """Sets the number of nodes of the clusters that are named as a whole."""
    for cluster in {server.cluster for server in servers}:
        named = {server.node for server in servers if server.cluster == cluster}
        if len(named) == max(named) > 1:
            instance.set_n_nodes(cluster, max(named))
        elif max(named) > instance.n_nodes(cluster):
            raise StackError(f"{cluster}-{max(named)} is a node of a cluster: start {cluster}:{len(CLUSTERS[cluster])}")


def _start_together(instance: Instance, servers: list[Server], fetched: dict[str, Path]) -> None:
    with ThreadPoolExecutor(max_workers=len(SERVERS)) as pool:
        outcomes = [pool.submit(server.start, instance, fetched[server.name]) for server in servers]
    failures = [error for outcome in outcomes if (error := outcome.exception())]
    for error in failures:
        if not isinstance(error, StackError):
            raise error
    if failures:
        raise StackError("\n".join(str(error) for error in failures))
