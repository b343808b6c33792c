"""Sets up what only this stack needs in Elasticsearch: users, platform logs, the operators' role, API keys.

The Job provision-cluster applies the templates, lifecycle and roles of the events. This script can run again at any time. It
keeps API keys that still work, last long enough and have the rights that are listed here. deploy.sh runs it as a Job, and a
CronJob runs it every week.
"""

import base64
import hashlib
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping

from kubernetes_secrets import Secrets

# Logstash gets a new key by itself: its pods are restarted. The Jobs of the replayer and the report read their key when they
# start. The functions' key must be copied to where they read it.
KEY_DAYS = {"logstash": 90, "functions": 400, "replayer": 90, "metrics": 90, "report": 90}
# A key with fewer days left is replaced.
RENEW_DAYS = 30
USERS = {"logstash": "statefulsets/logstash", "metrics": "deployments/stack-metrics"}
# A replaced key stays valid for a day, in which the pods restart.
GRACE_MS = 86_400_000
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
    # Same as infra/search/roles/elasticsearch-replayer.json. Only components/replay uses it.
    "replayer": {
        "cluster": [],
        "indices": [
            {"names": ["microservices-*", "dead-letters-microservices-*"], "privileges": WRITE},
            {"names": ["microservices-*"], "privileges": ["read", "index"]},
            {"names": ["dead-letters-microservices-*"], "privileges": ["read", "delete"]},
        ],
    },
    # Only components/prometheus uses it.
    "metrics": {"cluster": ["monitor"], "indices": [{"names": ["stack-report-*"], "privileges": ["read"]}]},
    # The CronJob stack-report counts events and dead letters, and reads its last report.
    "report": {
        "cluster": ["monitor"],
        "indices": [
            {"names": ["microservices-*", "dead-letters-*", "stack-report-*"], "privileges": ["read"]},
            {"names": ["stack-report-*"], "privileges": WRITE},
        ],
    },
}
# The role of the user that Logstash has where it can't use its API key: without TLS, Logstash refuses to send one.
LOGSTASH_ROLE = "platform_logstash"
OPERATOR = {
    "cluster": ["monitor"],
    "indices": [
        {
            "names": ["microservices-*", "platform-logs-*", "dead-letters-*", "stack-*"],
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

# Documents of the CronJob stack-report, and the alerts of Kibana. Rules search fields by name, so they exist beforehand.
STACK_FIELDS = {
    "dynamic": False,
    "properties": {
        **{"@timestamp": {"type": "date"}, "message": {"type": "text"}},
        **{name: {"type": "keyword"} for name in ("kind", "group", "topic", "service_name", "node", "rule", "link")},
        **{name: {"type": "long"} for name in ("partition", "lag", "events", "failures", "used_percent", "total", "new")},
    },
}
STACK_TEMPLATES = {
    "stack-report": {
        "index_patterns": ["stack-report-*"],
        "priority": 200,
        "template": {"settings": PLATFORM_LOGS_TEMPLATE["template"]["settings"], "mappings": STACK_FIELDS},
    },
    # One index for good: alerts are few.
    "stack-alerts": {
        "index_patterns": ["stack-alerts"],
        "priority": 200,
        "template": {"settings": {"number_of_shards": 1, "auto_expand_replicas": "0-1"}, "mappings": STACK_FIELDS},
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
    cluster = Elasticsearch(url, login(environment), ca_file)

    set_users(cluster, environment)

    retention = environment["RETENTION_DAYS"]
    cluster.call("PUT", f"/_ilm/policy/{PLATFORM_LOGS}", policy(int(retention)))
    cluster.call("PUT", f"/_index_template/{PLATFORM_LOGS}", PLATFORM_LOGS_TEMPLATE)
    for name, template in STACK_TEMPLATES.items():
        cluster.call("PUT", f"/_index_template/{name}", template)
    print(
        f"index templates {PLATFORM_LOGS}, {', '.join(STACK_TEMPLATES)}: applied, logs deleted after {retention} days",
        flush=True,
    )

    cluster.call("PUT", "/_security/role/platform_operator", OPERATOR)
    print("role platform_operator: applied", flush=True)

    ensure_keys(cluster, Secrets.of_pod())


def login(environment: Mapping[str, str]) -> str:
    """The Authorization header of the user elastic."""
    return "Basic " + base64.b64encode(f"elastic:{environment['ELASTIC_PASSWORD']}".encode()).decode()


def set_users(cluster: Elasticsearch, environment: Mapping[str, str]) -> None:
    """Sets the passwords of the Secrets: of Kibana's built-in user, and in dev of Logstash's, which is created."""
    cluster.call("POST", "/_security/user/kibana_system/_password", {"password": environment["KIBANA_PASSWORD"]})
    print("user kibana_system: password set", flush=True)
    if environment.get("LOGSTASH_PASSWORD"):
        cluster.call("PUT", f"/_security/role/{LOGSTASH_ROLE}", WRITERS["logstash"])
        user = {"password": environment["LOGSTASH_PASSWORD"], "roles": [LOGSTASH_ROLE]}
        cluster.call("PUT", "/_security/user/logstash", user)
        print("user logstash: applied", flush=True)


def ensure_keys(cluster: Elasticsearch, store: Secrets) -> None:
    """Replaces the keys that are missing or must not be used for longer, and ends the keys that were replaced before."""
    for name in WRITERS:
        known = (store.read(secret_of(name)) or {}).get("key")
        keys = keys_of(cluster, name)
        reason = reason_to_replace(cluster, known, name, keys)
        if reason:
            value = make_key(cluster, name)
            # Both forms that clients need: `id:key` (Logstash) and its base64 (the Authorization header).
            store.write(secret_of(name), {"key": value, "encoded": base64.b64encode(value)})
            restarted = name in USERS and store.restart(USERS[name], "api-key-replaced")
            after = f", restarting {USERS[name]}" if restarted else ""
            print(f"API key {name}: made, because {reason}{after}", flush=True)
        else:
            print(f"API key {name}: kept", flush=True)
            end_replaced_keys(cluster, known.partition(b":")[0].decode(), keys)


def secret_of(name: str) -> str:
    """The Secret with the key of a writer: no other client's pod gets it."""
    return f"elasticsearch-api-key-{name}"


def keys_of(cluster: Elasticsearch, name: str) -> list[dict]:
    """The keys of a writer that can still be used."""
    return [key for key in cluster.call("GET", f"/_security/api_key?name={name}").get("api_keys", []) if not key["invalidated"]]


def reason_to_replace(cluster: Elasticsearch, known: bytes | None, name: str, keys: list[dict]) -> str | None:
    """Why the key in the Secret can't stay; None if it can."""
    if not known:
        return "there was none"
    if not cluster.accepts(f"ApiKey {base64.b64encode(known).decode()}"):
        return "Elasticsearch does not accept it"
    current = next((key for key in keys if key["id"] == known.partition(b":")[0].decode()), None)
    if current is None:
        return "it was not made here"
    if (current.get("metadata") or {}).get("rights") != rights(name):
        return "its rights have changed"
    expiration = current.get("expiration")
    if expiration is None or expiration < (time.time() + RENEW_DAYS * 86_400) * 1000:
        return f"it expires within {RENEW_DAYS} days" if expiration else "it never expires"
    return None


def end_replaced_keys(cluster: Elasticsearch, current: str, keys: list[dict]) -> None:
    """Ends the keys that were replaced more than a day ago. What still uses one of them would have rights of earlier times."""
    since = next(key["creation"] for key in keys if key["id"] == current)
    replaced = [key["id"] for key in keys if key["id"] != current and key["creation"] < since]
    if replaced and since < time.time() * 1000 - GRACE_MS:
        cluster.call("DELETE", "/_security/api_key", {"ids": replaced})
        print(f"API keys {', '.join(replaced)}: ended", flush=True)
    elif replaced:
        print(f"API keys {', '.join(replaced)}: replaced, valid for a day", flush=True)


def rights(name: str) -> str:
    """A short form of what a key may do, to notice a change of it."""
    return hashlib.sha256(json.dumps(WRITERS[name], sort_keys=True).encode()).hexdigest()[:16]


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


def make_key(cluster: Elasticsearch, name: str) -> bytes:
    """Creates an API key with only the privileges that its owner needs."""
    request = {
        "name": name,
        "role_descriptors": {name: WRITERS[name]},
        "expiration": f"{KEY_DAYS[name]}d",
        "metadata": {"rights": rights(name)},
    }
    key = cluster.call("POST", "/_security/api_key", request)
    return f"{key['id']}:{key['api_key']}".encode()


if __name__ == "__main__":
    main()
