"""JSON over HTTP to the servers of the stack."""

import json
import urllib.error
import urllib.request
from typing import Any

from errors import StackError

# The servers are on this machine: a proxy that the user's environment names is for elsewhere.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(method: str, url: str, body: object = None, timeout_s: float = 30) -> Any:
    """Sends a request and returns the answer's JSON; an error answer or none is a StackError."""
    try:
        data = None if body is None else json.dumps(body).encode()
        return json.loads(_exchange(method, url, data, timeout_s))
    except urllib.error.HTTPError as error:
        answer = error.read().decode("utf-8", "replace")[:400]
        raise StackError(f"{method} {url} answered {error.code}: {answer}") from error
    except (OSError, ValueError) as error:
        raise StackError(f"{method} {url} failed: {error}") from error


def answers(url: str) -> bool:
    """Whether the URL answers with success by now."""
    try:
        _exchange("GET", url, None, 5)
    except OSError:  # HTTPError and URLError are kinds of it
        return False
    return True


def _exchange(method: str, url: str, data: bytes | None, timeout_s: float) -> bytes:
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    with _direct.open(request, timeout=timeout_s) as answer:
        return answer.read()
