"""Sets up what only this stack needs in Elasticsearch: Kibana's password, platform logs, the operators' role, API keys.

The Job provision-cluster applies the templates, lifecycle and roles of the events. This script can run again at any time
and keeps API keys that still work.
"""

import base64
import json
import os
import ssl
import urllib.error
import urllib.request

from kubernetes_secrets import Secrets

KEYS = "elasticsearch-api-keys"
# A writer may add documents with its own ids to the daily indices. It can't change or read a document.
WRITE = ["create_doc", "auto_configure"]
WRITERS = {
    # Logstash reads the version and licence of the cluster before it writes.
    "logstash": {
        "cluster": ["monitor"],
        "indices": [
            {
                "names": [
                    "microservices-*",
                    "platform-logs-*",
                    "dead-letters-microservices-*",
                    "dead-letters-platform-logs-*",
                ],
                "privileges": WRITE,
            }
        ],
    },
    # Same as infra/search/roles/elasticsearch-writer.json.
    "functions": {
        "cluster": [],
        "indices": [{"names": ["microservices-*", "dead-letters-microservices-*"], "privileges": WRITE}],
    },
}
OPERATOR = {
    "cluster": ["monitor"],
    "indices": [
        {
            "names": ["microservices-*", "platform-logs-*", "dead-letters-*"],
            "privileges": ["read", "view_index_metadata", "monitor"],
        }
    ],
}

# Logs of Beats and TCP clients. Elasticsearch's dynamic mapping is good enough for them.
PLATFORM_LOGS = "platform-logs"
PLATFORM_LOGS_TEMPLATE = {
    "index_patterns": ["platform-logs-*", "dead-letters-platform-logs-*"],
    "priority": 200,
    "template": {
        "settings": {
            "number_of_shards": 1,
            "auto_expand_replicas": "0-1",
            "codec": "best_compression",
            "index.lifecycle.name": PLATFORM_LOGS,
        }
    },
}


class Elasticsearch:
    """The cluster's REST interface."""

    def __init__(self, url: str, authorization: str, ca_file: str | None):
        self._url = url.rstrip("/")
        self._authorization = authorization
        self._context = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else None

    def call(self, method: str, path: str, body: dict | None = None) -> dict:
        """Sends a request. Any other status than success ends the script with Elasticsearch's error message."""
        request = urllib.request.Request(
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": self._authorization, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60, context=self._context) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error

    def accepts(self, authorization: str) -> bool:
        """Whether Elasticsearch accepts these credentials."""
        request = urllib.request.Request(f"{self._url}/_security/_authenticate", headers={"Authorization": authorization})
        try:
            with urllib.request.urlopen(request, timeout=60, context=self._context):
                return True
        except urllib.error.HTTPError as error:
            if error.code == 401:
                return False
            raise


def main() -> None:
    """Runs all steps. Each step depends only on earlier ones."""
    environment = os.environ
    url, ca_file = environment["ELASTICSEARCH_URL"], environment.get("CA_FILE")
    login = base64.b64encode(f"elastic:{environment['ELASTIC_PASSWORD']}".encode()).decode()
    cluster = Elasticsearch(url, f"Basic {login}", ca_file)

    cluster.call("POST", "/_security/user/kibana_system/_password", {"password": environment["KIBANA_PASSWORD"]})
    print("kibana_system: password set", flush=True)

    retention = environment["RETENTION_DAYS"]
    cluster.call("PUT", f"/_ilm/policy/{PLATFORM_LOGS}", policy(int(retention)))
    cluster.call("PUT", f"/_index_template/{PLATFORM_LOGS}", PLATFORM_LOGS_TEMPLATE)
    print(f"{PLATFORM_LOGS}: index template and lifecycle policy applied, deleted after {retention} days", flush=True)

    cluster.call("PUT", "/_security/role/platform_operator", OPERATOR)
    print("role platform_operator: applied", flush=True)

    store = Secrets.of_pod()
    known = store.read(KEYS) or {}
    made = {name: make_key(cluster, name) for name in WRITERS if not works(cluster, known, name)}
    if made:
        # Both forms that clients need: `id:key` (Logstash) and its base64 (the Authorization header).
        both = made | {f"{name}-encoded": base64.b64encode(value) for name, value in made.items()}
        store.write(KEYS, known | both)
    print(f"API keys: made {', '.join(made) or 'none'}, kept {', '.join(WRITERS.keys() - made.keys()) or 'none'}", flush=True)


def policy(retention_days: int) -> dict:
    """Daily indices: lower priority after two days, deleted after the retention. No rollover: each index has one day."""
    return {
        "policy": {
            "phases": {
                "hot": {"min_age": "0ms", "actions": {"set_priority": {"priority": 100}}},
                "warm": {"min_age": "2d", "actions": {"set_priority": {"priority": 50}}},
                "delete": {"min_age": f"{retention_days}d", "actions": {"delete": {}}},
            }
        }
    }


def works(cluster: Elasticsearch, known: dict[str, bytes], name: str) -> bool:
    """Whether the key in the Secret is still valid."""
    if name not in known:
        return False
    return cluster.accepts(f"ApiKey {base64.b64encode(known[name]).decode()}")


def make_key(cluster: Elasticsearch, name: str) -> bytes:
    """Creates an API key with only the privileges that its owner needs."""
    key = cluster.call("POST", "/_security/api_key", {"name": name, "role_descriptors": {name: WRITERS[name]}})
    return f"{key['id']}:{key['api_key']}".encode()


if __name__ == "__main__":
    main()
