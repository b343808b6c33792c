"""Waits until a server responds: wait_for.py kafka://HOST:PORT | kafkas://HOST:PORT | http(s)://HOST:PORT/PATH

CA_FILE is the certificate authority for kafkas and https. TIMEOUT_S is the longest wait in seconds (default 600).
"""

import os
import socket
import ssl
import struct
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

PAUSE_S = 2
API_VERSIONS = 18


def main() -> int:
    """Tries until the server responds or the time is up."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    url, timeout_s = sys.argv[1], float(os.environ.get("TIMEOUT_S", "600"))
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            check(url)
            print(f"{url} is ready", flush=True)
            return 0
        except (OSError, ValueError) as error:
            reason = error
        if time.monotonic() > deadline:
            print(f"{url} did not respond within {timeout_s:g} s: {reason}", file=sys.stderr)
            return 1
        print(f"waiting for {url}: {reason}", flush=True)
        time.sleep(PAUSE_S)


def check(url: str) -> None:
    """Returns if the server responds in its protocol, else raises the reason."""
    place = urllib.parse.urlsplit(url)
    context = ssl.create_default_context(cafile=os.environ.get("CA_FILE"))
    if place.scheme in ("http", "https"):
        try:
            with urllib.request.urlopen(url, timeout=5, context=context if place.scheme == "https" else None):
                return
        except urllib.error.HTTPError as error:
            # A server that asks for a password is up.
            if error.code not in (401, 403):
                raise
            return
    if place.scheme not in ("kafka", "kafkas"):
        raise SystemExit(f"{url}: the scheme must be kafka, kafkas, http or https")
    with socket.create_connection((place.hostname, place.port), timeout=5) as plain:
        if place.scheme == "kafkas":
            with context.wrap_socket(plain, server_hostname=place.hostname) as encrypted:
                request_api_versions(encrypted)
        else:
            request_api_versions(plain)


def request_api_versions(connection: socket.socket) -> None:
    """Sends ApiVersions, the request that a broker serves before any login."""
    client = b"wait-for"
    request = struct.pack(">hhih", API_VERSIONS, 0, 1, len(client)) + client
    connection.sendall(struct.pack(">i", len(request)) + request)
    header = receive(connection, 10)
    _, correlation, error = struct.unpack(">iih", header)
    if correlation != 1 or error != 0:
        raise ValueError(f"not the response of a Kafka broker: {header!r}")


def receive(connection: socket.socket, size: int) -> bytes:
    """Reads exactly `size` bytes."""
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise OSError("the connection was closed")
        data += part
    return data


if __name__ == "__main__":
    sys.exit(main())
