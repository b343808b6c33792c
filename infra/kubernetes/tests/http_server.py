"""A local HTTP server for stand-ins that speak JSON."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class JsonHandler(BaseHTTPRequestHandler):
    """Reads and writes JSON bodies and logs nothing."""

    def body(self):
        """The JSON of the request, the list of a body in lines, or None if it has no body."""
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Type") == "application/x-ndjson":
            return [json.loads(line) for line in data.splitlines()]
        return json.loads(data) if data else None

    def respond(self, status: int, body: object) -> None:
        """Sends the response."""
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@contextmanager
def serving(handler: type[JsonHandler]) -> Iterator[str]:
    """Serves requests with this handler and yields the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
