"""A stand-in for the part of the Kubernetes API that the Jobs use: it keeps Secrets in memory and records restarts."""

import re
from contextlib import contextmanager
from pathlib import Path

from http_server import JsonHandler, serving

TOKEN = "token-of-the-test"
WORKLOADS = ("statefulsets/kafka", "statefulsets/logstash", "deployments/kibana")


@contextmanager
def secrets_api(account: Path, restarted: list | None = None):
    """Serves the API. Yields the environment for a Job's script, and the Secrets by name with base64 data.

    `restarted` gets the workloads that were restarted, with the annotation.
    """
    restarted = [] if restarted is None else restarted
    secrets: dict[str, dict] = {}

    class Handler(JsonHandler):
        def do_GET(self):
            name = self._name()
            if name in secrets:
                self.respond(200, secrets[name])
            else:
                self.respond(404, {"kind": "Status", "reason": "NotFound"})

        def do_POST(self):
            secret = self.body()
            name = secret["metadata"]["name"]
            assert self._name() is None and name not in secrets
            secrets[name] = secret
            self.respond(201, secret)

        def do_PUT(self):
            secret = self.body()
            assert self._name() == secret["metadata"]["name"] and self._name() in secrets
            # Kubernetes rejects a change of the type.
            assert secret["type"] == secrets[self._name()].get("type", "Opaque"), "the type of a Secret is immutable"
            secrets[self._name()] = secret
            self.respond(200, secret)

        def do_PATCH(self):
            assert self.headers["Authorization"] == f"Bearer {TOKEN}"
            assert self.headers["Content-Type"] == "application/strategic-merge-patch+json"
            (annotation,) = self.body()["spec"]["template"]["metadata"]["annotations"]
            workload = self.path.removeprefix("/apis/apps/v1/namespaces/demo-micro/")
            if workload not in WORKLOADS:
                self.respond(404, {"kind": "Status", "reason": "NotFound"})
                return
            restarted.append((workload, annotation))
            self.respond(200, {})

        def _name(self):
            assert self.headers["Authorization"] == f"Bearer {TOKEN}"
            found = re.fullmatch(r"/api/v1/namespaces/demo-micro/secrets(?:/([a-z0-9-]+))?", self.path)
            assert found, self.path
            return found[1]

    account.mkdir(parents=True, exist_ok=True)
    (account / "token").write_text(TOKEN)
    (account / "namespace").write_text("demo-micro")
    with serving(Handler) as url:
        yield {"KUBERNETES_API": url, "SERVICE_ACCOUNT": str(account)}, secrets
