"""Elasticsearch 6.8, whole, with a trial licence: the newest published release with lifecycles, Watcher, roles and API keys."""

from pathlib import Path

import elasticsearch_node
from instance import Instance
from search_node import STOP_GRACE_S  # noqa: F401  (the grace is what each server has)

NAME = "elasticsearch-6"
GROUP = "org.elasticsearch.distribution.zip"
SETTINGS = """\
xpack.license.self_generated.type: trial
xpack.ml.enabled: false
xpack.security.authc.api_key.enabled: true
# Its own choice is of its day: suites that today's clients refuse.
xpack.security.http.ssl.cipher_suites: ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]
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
