"""A server that `stack.py` runs during the tests, used as its administrator or as a user that the test creates."""

import base64
import json
import os
import secrets
import ssl
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from applied import VALUES

REPOSITORY = Path(__file__).parents[3]
STACK = REPOSITORY / "localstack" / "servers"


@dataclass(frozen=True)
class Response:
    """The status and the JSON of a response."""

    status: int
    body: dict

    @property
    def items(self) -> list[tuple[int, str]]:
        """The status and error type (or an empty string) of each operation in a bulk request."""
        operations = [operation for item in self.body["items"] for operation in item.values()]
        return [(each["status"], each.get("error", {}).get("type", "")) for each in operations]


class Server:
    """A cluster, accessed with one credential."""

    def __init__(self, endpoint: str, ca: str | None, authorization: str | None) -> None:
        self.endpoint, self._ca, self._authorization = endpoint, ca, authorization
        self._context = ssl.create_default_context(cafile=ca)

    def with_authorization(self, authorization: str) -> "Server":
        """The same cluster with another credential."""
        return Server(self.endpoint, self._ca, authorization)

    def as_user(self, name: str, password: str) -> "Server":
        """The same cluster as another user."""
        return self.with_authorization(basic(name, password))

    def send(self, method: str, path: str, body=None) -> Response:
        """Sends a request and returns the response, whatever its status is."""
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"}
        if self._authorization:
            headers["Authorization"] = self._authorization
        request = urllib.request.Request(self.endpoint + path, method=method, data=data, headers=headers)
        https = urllib.request.HTTPSHandler(context=self._context)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), https)
        try:
            with opener.open(request, timeout=120) as response:
                return Response(response.status, json.load(response))
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            return Response(error.code, json.loads(text) if text.startswith("{") else {"text": text})

    def must(self, method: str, path: str, body=None) -> dict:
        """Sends a request that must succeed."""
        response = self.send(method, path, body)
        assert response.status in (200, 201), f"{method} {path}: {response}"
        return response.body

    def bulk(self, *operations: tuple[dict, dict | None], path: str = "/_bulk") -> Response:
        """Sends a bulk request as the functions do."""
        lines = [json.dumps(part) for operation in operations for part in operation if part is not None]
        return self.send("POST", path, "\n".join(lines) + "\n")


class Events:
    """Writes events and dead letters of a test to the indices that the monitors search."""

    def __init__(self, server: Server, values: dict, bodies: dict[str, dict], **place) -> None:
        """Creates the index of each prefix with its body. `place` is added to the target of each document."""
        self._server = server
        self._places = {prefix: {"_index": f"{values[prefix]}-2026.11.24", **place} for prefix in bodies}
        for prefix, body in bodies.items():
            server.must("PUT", f"/{self._places[prefix]['_index']}", body)

    def add(self, number: int = 1, prefix: str = "INDEX_PREFIX", minutes_ago: float = 0, **more) -> None:
        """Indexes this many documents and makes them searchable."""
        when = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        document = {
            "@timestamp": when.isoformat(timespec="milliseconds"), "kafka_timestamp": int(when.timestamp() * 1000),
            "service_name": "order", "eventType": "OrderCreated", **more,
        }  # fmt: skip
        operations = [({"index": self._places[prefix]}, document)] * number
        assert not self._server.bulk(*operations, path="/_bulk?refresh=true").body["errors"]


def basic(name: str, password: str) -> str:
    """A basic Authorization header."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def running(name: str) -> Server:
    """The server with this name in the instance STACK_INSTANCE, as administrator."""
    instance = os.environ.get("STACK_INSTANCE")
    command = f"stack.py with --servers {name} -- pytest …"
    assert instance, f"STACK_INSTANCE is not set: run the tests with `{command}`, as `make test-live` does"
    stack = [str(STACK / "python.sh"), str(STACK / "stack.py"), "info", "--instance", instance]
    known = json.loads(subprocess.run(stack, capture_output=True, text=True, check=True).stdout)
    assert known.get(name, {}).get("running"), (
        f"{name} does not run in the instance {instance}: run the tests with `{command}`"
    )
    known = known[name]
    credential = basic(known["username"], known["password"]) if "username" in known else None
    return Server(known["endpoint"], known.get("ca_certificate"), credential)


def own_prefixes() -> dict[str, str]:
    """Prefixes that no other test uses."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    return {"INDEX_PREFIX": f"{name}-events", "EVENT_INDICES": f"{name}-events-*", "DEAD_LETTER_PREFIX": f"{name}-refused"}


def own_values(server: Server) -> Iterator[dict[str, str]]:
    """Values of the placeholders, with prefixes that only this test uses. Finally deletes their indices."""
    prefixes = own_prefixes()
    try:
        yield VALUES | prefixes
    finally:
        for prefix in prefixes.values():
            # By their names: Elasticsearch 8 does not delete by a pattern.
            for name in server.must("GET", f"/{prefix}-*/_settings"):
                server.must("DELETE", f"/{name}")


def password() -> str:
    """A random password."""
    return "T3st-" + secrets.token_hex(16)
