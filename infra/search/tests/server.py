"""A server that `stack.py` runs for the length of the tests, asked as its administrator or as a user of the test's own."""

import base64
import contextlib
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
from pathlib import Path

from applied import VALUES

REPOSITORY = Path(__file__).parents[3]
STACK = REPOSITORY / "localstack" / "servers"


@dataclass(frozen=True)
class Answer:
    """Status and JSON."""

    status: int
    body: dict

    @property
    def items(self) -> list[tuple[int, str]]:
        """What became of each operation of a bulk request: status, and the kind of error or nothing."""
        operations = [operation for item in self.body["items"] for operation in item.values()]
        return [(each["status"], each.get("error", {}).get("type", "")) for each in operations]


class Server:
    """A cluster, entered with one credential."""

    def __init__(self, endpoint: str, ca: str | None, authorization: str | None) -> None:
        self.endpoint, self._ca, self._authorization = endpoint, ca, authorization
        self._context = ssl.create_default_context(cafile=ca)

    def with_authorization(self, authorization: str) -> "Server":
        """The same cluster with another credential."""
        return Server(self.endpoint, self._ca, authorization)

    def as_user(self, name: str, password: str) -> "Server":
        """The same cluster as another user."""
        return self.with_authorization(basic(name, password))

    def ask(self, method: str, path: str, body=None) -> Answer:
        """Sends a request, whatever the answer is."""
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"}
        if self._authorization:
            headers["Authorization"] = self._authorization
        request = urllib.request.Request(self.endpoint + path, method=method, data=data, headers=headers)
        https = urllib.request.HTTPSHandler(context=self._context)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), https)
        try:
            with opener.open(request, timeout=120) as response:
                return Answer(response.status, json.load(response))
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            return Answer(error.code, json.loads(text) if text.startswith("{") else {"text": text})

    def must(self, method: str, path: str, body=None) -> dict:
        """Sends a request that must succeed."""
        answer = self.ask(method, path, body)
        assert answer.status in (200, 201), f"{method} {path}: {answer}"
        return answer.body

    def bulk(self, *operations: tuple[dict, dict | None], path: str = "/_bulk") -> Answer:
        """One bulk request, as the functions send them."""
        lines = [json.dumps(part) for operation in operations for part in operation if part is not None]
        return self.ask("POST", path, "\n".join(lines) + "\n")


def basic(name: str, password: str) -> str:
    """A basic Authorization header."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def running(name: str) -> Server:
    """The server of that name of the instance that STACK_INSTANCE names, as administrator."""
    instance = os.environ.get("STACK_INSTANCE")
    command = f"stack.py with --servers {name} -- pytest …"
    assert instance, f"STACK_INSTANCE is not set: run the tests by `{command}`, as `make test-live` does"
    stack = [str(STACK / "python.sh"), str(STACK / "stack.py"), "info", "--instance", instance]
    known = json.loads(subprocess.run(stack, capture_output=True, text=True, check=True).stdout)
    assert known.get(name, {}).get("running"), (
        f"{name} does not run in the instance {instance}: run the tests by `{command}`"
    )
    known = known[name]
    credential = basic(known["username"], known["password"]) if "username" in known else None
    return Server(known["endpoint"], known.get("ca_certificate"), credential)


def own_prefixes() -> dict[str, str]:
    """Prefixes that no other test has."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    return {"INDEX_PREFIX": f"{name}-events", "DEAD_LETTER_PREFIX": f"{name}-refused"}


def own_values(server: Server) -> Iterator[dict[str, str]]:
    """What the files' placeholders become, with prefixes of the test's own, whose indices go in the end."""
    prefixes = own_prefixes()
    yield VALUES | prefixes
    for prefix in prefixes.values():
        server.must("DELETE", f"/{prefix}-*")


def password() -> str:
    """One that no test repeats."""
    return "T3st-" + secrets.token_hex(16)


@contextlib.contextmanager
def cleaned(*undo) -> Iterator[None]:
    """Does all of `undo` in the end, whatever happens."""
    with contextlib.ExitStack() as stack:
        for each in undo:
            stack.callback(each)
        yield
