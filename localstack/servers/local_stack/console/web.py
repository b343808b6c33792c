"""Serves the page, its state as JSON, and its changes, on 127.0.0.1 alone."""

import json
import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from local_stack.console.changes import change
from local_stack.console.guard import refusal, refusal_of_change
from local_stack.console.watch import Watch
from local_stack.errors import StackError
from local_stack.instance import Instance

PAGE = Path(__file__).parent / "page"
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/console.css": ("console.css", "text/css; charset=utf-8"),
    "/console.js": ("console.js", "text/javascript; charset=utf-8"),
    "/draw.js": ("draw.js", "text/javascript; charset=utf-8"),
}
TOKEN = b"@TOKEN@"
MAXIMUM_REQUEST = 64 * 1024
# Nothing from elsewhere is loaded, and no other page shows this one in a frame.
SAFETY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Console(ThreadingHTTPServer):
    """The server of one instance's page. Its token is new with each process."""

    daemon_threads = True

    def __init__(self, instance: Instance, port: int, watch: Watch) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.instance, self.watch, self.token = instance, watch, secrets.token_urlsafe(32)


class _Handler(BaseHTTPRequestHandler):
    server: Console
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        """A file of the page, the state, or the events of a search."""
        refused = refusal(self.server.server_port, self.headers)
        if refused:
            return self._json(403, {"error": refused})
        url = urlsplit(self.path)
        if url.path in FILES:
            name, content_type = FILES[url.path]
            content = (PAGE / name).read_bytes().replace(TOKEN, self.server.token.encode())
            return self._send(200, content_type, content)
        self.server.watch.asked()
        if url.path == "/api/state":
            # A page with an older token loads itself again.
            return self._json(200, {**self.server.watch.state(), "run": self.server.token[:8]})
        if url.path == "/api/events":
            return self._try(lambda: self.server.watch.documents().events(parse_qs(url.query).get("q", [""])[0]))
        return self._json(404, {"error": f"nothing is at {url.path}"})

    def do_POST(self) -> None:
        """A change."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAXIMUM_REQUEST:
            self.close_connection = True
            return self._json(400, {"error": f"a change has a Content-Length of up to {MAXIMUM_REQUEST} bytes"})
        body = self.rfile.read(int(length))
        refused = refusal_of_change(self.server.token, self.server.server_port, self.headers)
        if refused:
            return self._json(403, {"error": refused})
        try:
            request = json.loads(body)
        except ValueError:
            return self._json(400, {"error": "a change is JSON"})
        self._try(lambda: change(self.server.instance, self.path, request))
        return self.server.watch.hurry()

    def _try(self, make) -> None:
        try:
            self._json(200, make())
        except StackError as error:
            self._json(502, {"error": str(error)})

    def _json(self, code: int, value: object) -> None:
        self._send(code, "application/json", json.dumps(value).encode())

    def _send(self, code: int, content_type: str, content: bytes) -> None:
        self.send_response(code)
        headers = {"Content-Type": content_type, "Content-Length": str(len(content)), **SAFETY}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Logs refusals and failures alone: a page asks every second."""
        if isinstance(code, int) and code >= 400:
            super().log_request(code, size)
