"""JSON over HTTP to the servers of the stack."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from local_stack.errors import StackError

# The servers are on this machine: ignore a proxy that the environment names.
_direct = urllib.request.ProxyHandler({})


@dataclass(frozen=True)
class Access:
    """How to log in to a secured server."""

    ca: str
    username: str
    password: str


def call(
    method: str, url: str, body: object = None, timeout_s: float = 30, headers: dict[str, str] | None = None
) -> Any:
    """Sends a request and returns the response's JSON; an error response or none is a StackError."""
    try:
        data = None if body is None else json.dumps(body).encode()
        return json.loads(_exchange(method, url, data, timeout_s, headers=headers))
    except urllib.error.HTTPError as error:
        text = error.read().decode("utf-8", "replace")[:400]
        raise StackError(f"{method} {url} returned {error.code}: {text}") from error
    except (OSError, ValueError) as error:
        raise StackError(f"{method} {url} failed: {error}") from error


def succeeds(url: str, access: Access | None = None) -> bool:
    """Whether a GET of the URL returns success now."""
    try:
        _exchange("GET", url, None, 5, access=access)
    except OSError:  # HTTPError and URLError are kinds of it
        return False
    return True


def _exchange(
    method: str, url: str, data: bytes | None, timeout_s: float, *, access: Access | None = None,
    headers: dict[str, str] | None = None,
) -> bytes:  # fmt: skip
    sent = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data=data, method=method, headers=sent)
    handlers: list[urllib.request.BaseHandler] = [_direct]
    if access:
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=access.ca)))
        credentials = base64.b64encode(f"{access.username}:{access.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {credentials}")
    with urllib.request.build_opener(*handlers).open(request, timeout=timeout_s) as response:
        return response.read()
