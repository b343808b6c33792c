"""Sets up what only this stack needs in Kibana: a data view, the role of dashboard authors, and the alerting rules.

The Job provision-cluster applies the data views, the dashboards and the readers' role of the events.
"""

import base64
import json
import os
import ssl
import urllib.error
import urllib.request

from kibana_rules import CONNECTORS, CREATION, RULES, identity, rule

DATA_VIEWS = {"platform-logs": "platform-logs-*"}
READ = ["read", "view_index_metadata"]
# The Kibana part of a role lists the applications that a user sees.
ROLES = {
    "microservices_analyst": {
        "elasticsearch": {
            "cluster": [],
            "indices": [{"names": ["microservices-*", "dead-letters-*", "platform-logs-*"], "privileges": READ}],
        },
        "kibana": [{"base": [], "feature": {"discover": ["all"], "dashboard": ["all"], "visualize": ["all"]}, "spaces": ["*"]}],
    },
}


def main() -> None:
    """Creates or replaces each data view and role."""
    environment = os.environ
    login = base64.b64encode(f"elastic:{environment['ELASTIC_PASSWORD']}".encode()).decode()
    url = environment["KIBANA_URL"].rstrip("/")
    context = ssl.create_default_context(cafile=environment.get("CA_FILE")) if url.startswith("https:") else None

    def call(method: str, path: str, body: dict | None = None) -> int:
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json", "kbn-xsrf": "kibana-setup"}
        request = urllib.request.Request(url + path, method=method, data=body and json.dumps(body).encode(), headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60, context=context) as response:
                return response.status
        except urllib.error.HTTPError as error:
            if method == "GET" and error.code == 404:
                return error.code
            raise SystemExit(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error

    for name, pattern in DATA_VIEWS.items():
        view = {"id": name, "name": name, "title": pattern, "timeFieldName": "@timestamp"}
        call("POST", "/api/data_views/data_view", {"override": True, "data_view": view})
        print(f"data view {name} ({pattern}): applied", flush=True)
    for name, role in ROLES.items():
        call("PUT", f"/api/security/role/{name}", role)
        print(f"role {name}: applied", flush=True)
    for key, connector in CONNECTORS.items():
        if call("GET", f"/api/actions/connector/{key}") == 404:
            call("POST", f"/api/actions/connector/{key}", connector)
        else:
            change = {name: value for name, value in connector.items() if name != "connector_type_id"}
            call("PUT", f"/api/actions/connector/{key}", change)
        print(f"connector {connector['name']}: applied", flush=True)
    for name in RULES:
        key = identity(f"rule {name}")
        # Whether the rule is enabled or muted is the operators' choice.
        if call("GET", f"/api/alerting/rule/{key}") == 404:
            call("POST", f"/api/alerting/rule/{key}", {**rule(name), **CREATION})
        else:
            call("PUT", f"/api/alerting/rule/{key}", rule(name))
        print(f"rule {name}: applied", flush=True)


if __name__ == "__main__":
    main()
