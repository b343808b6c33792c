"""Reads and writes Secrets and restarts workloads through the Kubernetes API, with the token of the pod's service account."""

import base64
import json
import os
import ssl
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Secrets:
    """The Secrets of this pod's namespace."""

    def __init__(self, api: str, token: str, namespace: str, context: ssl.SSLContext | None):
        self.namespace = namespace
        self._secrets = f"{api}/api/v1/namespaces/{namespace}/secrets"
        self._workloads = f"{api}/apis/apps/v1/namespaces/{namespace}"
        self._token = token
        self._context = context

    @classmethod
    def of_pod(cls) -> "Secrets":
        """Uses the API address and service account of the pod, or those in KUBERNETES_API and SERVICE_ACCOUNT."""
        account = Path(os.environ.get("SERVICE_ACCOUNT", ACCOUNT))
        api = os.environ.get("KUBERNETES_API", "https://kubernetes.default.svc")
        context = ssl.create_default_context(cafile=account / "ca.crt") if api.startswith("https:") else None
        return cls(api, (account / "token").read_text().strip(), (account / "namespace").read_text().strip(), context)

    def read(self, name: str) -> dict[str, bytes] | None:
        """The values of a Secret, or None if it does not exist."""
        secret = self._find(name)
        return None if secret is None else values_of(secret)

    def annotations(self, name: str) -> dict[str, str]:
        """The annotations of a Secret, by which other programs mark what they manage."""
        return (self._find(name) or {}).get("metadata", {}).get("annotations") or {}

    def write(self, name: str, values: dict[str, bytes]) -> None:
        """Creates a Secret, or sets these values in it. Its other values, its type and its metadata stay."""
        data = {key: base64.b64encode(value).decode() for key, value in values.items()}
        known = self._find(name)
        if known is not None:
            # The resource version in it makes Kubernetes reject the change if someone else was faster.
            self._call("PUT", f"/{name}", {**known, "data": {**(known.get("data") or {}), **data}})
            return
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "kafka-to-search"}},
            "type": "Opaque",
            "data": data,
        }
        self._call("POST", "", secret)

    def restart(self, workload: str, why: str) -> bool:
        """Restarts the pods of a workload such as `statefulsets/kafka`, one by one, as `kubectl rollout restart` does.

        Returns False if there is no such workload yet.
        """
        annotations = {f"kafka-to-search/{why}": datetime.now(UTC).isoformat(timespec="seconds")}
        patch = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        try:
            self._send("PATCH", f"{self._workloads}/{workload}", patch, "application/strategic-merge-patch+json")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise
        return True

    def _find(self, name: str) -> dict | None:
        try:
            return self._call("GET", f"/{name}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def _call(self, method: str, path: str, body: dict | None = None) -> dict:
        return self._send(method, self._secrets + path, body, "application/json")

    def _send(self, method: str, url: str, body: dict | None, kind: str) -> dict:
        request = urllib.request.Request(
            url,
            method=method,
            data=json.dumps(body).encode() if body else None,
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": kind},
        )
        with urllib.request.urlopen(request, timeout=30, context=self._context) as response:
            return json.load(response)


def values_of(secret: dict) -> dict[str, bytes]:
    """The values of a Secret as bytes."""
    return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}
