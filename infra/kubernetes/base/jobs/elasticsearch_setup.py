"""Sets Elasticsearch up for the stack: Kibana's password, lifecycle policy, index templates, roles, and API keys.

It can run again at any time. Keys that still work are kept.
"""

import base64
import json
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path

from kubernetes_secrets import Secrets

KEYS = "elasticsearch-api-keys"
POLICY = "microservices"
# What a writer may do: add documents under an id of its own to the daily indices, never change or read one.
WRITE = {"cluster": ["monitor"], "indices": [{"names": [], "privileges": ["create_doc", "create_index", "auto_configure"]}]}
WRITERS = {
    "logstash": ["microservices-*", "platform-logs-*", "dead-letters-microservices-*", "dead-letters-platform-logs-*"],
    "functions": ["microservices-*", "dead-letters-microservices-*"],
}
READERS = {
    "microservices_reader": {"indices": [{"names": ["microservices-*"], "privileges": ["read", "view_index_metadata"]}]},
    "platform_operator": {
        "cluster": ["monitor"],
        "indices": [
            {
                "names": ["microservices-*", "platform-logs-*", "dead-letters-*"],
                "privileges": ["read", "view_index_metadata", "monitor"],
            }
        ],
    },
}

# Logs of Beats and TCP clients: Elasticsearch's own mappings do.
PLATFORM_LOGS = {
    "index_patterns": ["platform-logs-*", "dead-letters-platform-logs-*"],
    "priority": 200,
    "template": {"settings": {"number_of_shards": 1, "auto_expand_replicas": "0-1", "codec": "best_compression"}},
}


class Elasticsearch:
    """The cluster's REST interface."""

    def __init__(self, url: str, authorization: str, ca_file: str | None):
        self._url = url.rstrip("/")
        self._authorization = authorization
        self._context = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else None

    def call(self, method: str, path: str, body: dict | None = None) -> dict:
        """One request; an answer other than success is an error with Elasticsearch's own words."""
        request = urllib.request.Request(
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": self._authorization, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60, context=self._context) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error

    def accepts(self, authorization: str) -> bool:
        """Whether these credentials are good."""
        request = urllib.request.Request(f"{self._url}/_security/_authenticate", headers={"Authorization": authorization})
        try:
            with urllib.request.urlopen(request, timeout=60, context=self._context):
                return True
        except urllib.error.HTTPError as error:
            if error.code == 401:
                return False
            raise


def main() -> None:
    """Does all of it, in an order in which each step needs only earlier ones."""
    environment = os.environ
    url, ca_file = environment["ELASTICSEARCH_URL"], environment.get("CA_FILE")
    login = base64.b64encode(f"elastic:{environment['ELASTIC_PASSWORD']}".encode()).decode()
    cluster = Elasticsearch(url, f"Basic {login}", ca_file)

    cluster.call("POST", "/_security/user/kibana_system/_password", {"password": environment["KIBANA_PASSWORD"]})
    print("kibana_system: password set", flush=True)

    cluster.call("PUT", f"/_ilm/policy/{POLICY}", policy(int(environment["RETENTION_DAYS"])))
    print(f"lifecycle policy {POLICY}: indices are deleted after {environment['RETENTION_DAYS']} days", flush=True)

    templates = [
        json.loads(file.read_text()) for file in sorted(Path(environment.get("SEARCH_FILES", "/search")).glob("*.json"))
    ]
    for template in [*templates, PLATFORM_LOGS]:
        name = template["index_patterns"][0].removesuffix("-*")
        cluster.call("PUT", f"/_index_template/{name}", adapted(template))
        print(f"index template {name}: applied", flush=True)

    for name, role in READERS.items():
        cluster.call("PUT", f"/_security/role/{name}", role)
        print(f"role {name}: applied", flush=True)

    store = Secrets.of_pod()
    known = store.read(KEYS) or {}
    made = {name: make_key(cluster, name) for name in WRITERS if not works(cluster, known, name)}
    if made:
        # Both forms that clients ask for: `id:key` (Logstash), and base64 of it (the Authorization header).
        both = made | {f"{name}-encoded": base64.b64encode(value) for name, value in made.items()}
        store.write(KEYS, known | both)
    print(f"API keys: made {', '.join(made) or 'none'}, kept {', '.join(WRITERS.keys() - made.keys()) or 'none'}", flush=True)


def policy(retention_days: int) -> dict:
    """Daily indices: less memory after a day, gone after the retention. No rollover: the names are the days."""
    return {
        "policy": {
            "phases": {
                "hot": {"min_age": "0ms", "actions": {"set_priority": {"priority": 100}}},
                # Not read-only: late events still find their day's index.
                "warm": {"min_age": "2d", "actions": {"set_priority": {"priority": 50}}},
                "delete": {"min_age": f"{retention_days}d", "actions": {"delete": {}}},
            }
        }
    }


def adapted(template: dict) -> dict:
    """A template with the lifecycle policy, and what OpenSearch names otherwise in Elasticsearch's words."""
    text = json.dumps(template).replace('"type": "flat_object"', '"type": "flattened"')
    result = json.loads(text)
    result["template"]["settings"]["index.lifecycle.name"] = POLICY
    return result


def works(cluster: Elasticsearch, known: dict[str, bytes], name: str) -> bool:
    """Whether the key that the Secret holds is still good."""
    if name not in known:
        return False
    return cluster.accepts(f"ApiKey {base64.b64encode(known[name]).decode()}")


def make_key(cluster: Elasticsearch, name: str) -> bytes:
    """Makes a key that can do what its owner needs and no more."""
    role = json.loads(json.dumps(WRITE))
    role["indices"][0]["names"] = WRITERS[name]
    answer = cluster.call("POST", "/_security/api_key", {"name": name, "role_descriptors": {name: role}})
    return f"{answer['id']}:{answer['api_key']}".encode()


if __name__ == "__main__":
    main()
