"""Decides which requests the console serves: those of its own page, from this machine.

Any site that is open in the same browser can send requests to 127.0.0.1. It can't read the page, so it has no token; a name
of its own that resolves to 127.0.0.1 is in `Host`; and the browser puts its address in `Origin`.
"""

import hmac
from collections.abc import Mapping

TOKEN_HEADER = "X-Console-Token"
NAMES = ("127.0.0.1", "localhost")


def refusal(port: int, headers: Mapping[str, str]) -> str | None:
    """Why no request with these headers is served, a change or not; None if it is."""
    own = {f"{name}:{port}" for name in NAMES}
    host = headers.get("Host", "")
    if host.lower() not in own:
        return f"the console is at http://127.0.0.1:{port}, not at `{host}`"
    origin = headers.get("Origin")
    if origin is not None and origin.lower() != f"http://{host.lower()}":
        return f"a page of `{origin}` may not use the console"
    # A link from elsewhere may open the page; nothing else may come from there.
    elsewhere = headers.get("Sec-Fetch-Site", "none") in ("cross-site", "same-site")
    if elsewhere and headers.get("Sec-Fetch-Mode") != "navigate":
        return "a page of another site may not use the console"
    return None


def refusal_of_change(token: str, port: int, headers: Mapping[str, str]) -> str | None:
    """Why a change with these headers is refused; None if it is not."""
    refused = refusal(port, headers)
    if refused:
        return refused
    if headers.get("Content-Type", "").split(";")[0].strip() != "application/json":
        return "a change must be application/json"
    given = headers.get(TOKEN_HEADER, "")
    if not hmac.compare_digest(given.encode("utf-8", "replace"), token.encode()):
        return "the token of the page is missing or old: load the page again"
    return None
