"""Where things are: the repository, the cache of downloads, the state of running stacks."""

import os
from pathlib import Path

SERVERS = Path(__file__).resolve().parent.parent
REPOSITORY = SERVERS.parent.parent
EXTENSION = REPOSITORY / "localstack" / "extension"
TEMPLATE = REPOSITORY / "infra" / "template.yaml"
PIPELINE = REPOSITORY / "infra" / "pipeline.yaml"
EXPAND = REPOSITORY / "infra" / "expand.py"


def cache() -> Path:
    """Downloads and Python environments, shared by every checkout."""
    named = os.environ.get("KAFKA_TO_SEARCH_CACHE")
    if named:
        return Path(named).expanduser().resolve()
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home).expanduser().resolve() / "kafka-to-search"


def state() -> Path:
    """One folder per stack instance: its data, logs and process ids."""
    named = os.environ.get("KAFKA_TO_SEARCH_STATE")
    return Path(named).expanduser().resolve() if named else REPOSITORY / ".stack"


def cargo_target() -> Path:
    """Where cargo puts what it builds."""
    named = os.environ.get("CARGO_TARGET_DIR")
    return Path(named).expanduser().resolve() if named else REPOSITORY / "target"
