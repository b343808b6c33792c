"""Elasticsearch with TLS and users: what is published of today's release, which lacks lifecycles, scripts and user management."""

from pathlib import Path

import elasticsearch_node
from instance import Instance
from search_node import STOP_GRACE_S  # noqa: F401  (the grace is what each server has)

NAME = "elasticsearch"
GROUP = "org.elasticsearch.distribution.integ-test-zip"
# It would set passwords and certificates up by itself.
SETTINGS = """\
xpack.security.enrollment.enabled: false
xpack.security.autoconfiguration.enabled: false
"""


def fetch() -> Path:
    """Returns Elasticsearch's home."""
    return elasticsearch_node.fetch(NAME, GROUP)


def release() -> str:
    """What would be started now, to tell whether what runs is older."""
    return fetch().name


def start(instance: Instance) -> None:
    """Starts the node; returns when the administrator is let in and the cluster is healthy."""
    elasticsearch_node.start(instance, NAME, fetch(), SETTINGS)


def info(instance: Instance) -> dict:
    """Where clients connect, and with what."""
    return elasticsearch_node.info(instance, NAME)
