"""Stands in for the Kubernetes API where only Secrets are read and written: kept in memory, served over HTTP."""

import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

TOKEN = "token-of-the-test"


@contextmanager
def secrets_api(account: Path):
    """Serves the API; gives the environment for a Job's script, and the Secrets by name with base64 data."""
    secrets: dict[str, dict] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self._name()
            if name in secrets:
                self._answer(200, secrets[name])
            else:
                self._answer(404, {"kind": "Status", "reason": "NotFound"})

        def do_POST(self):
            secret = self._body()
            name = secret["metadata"]["name"]
            assert self._name() is None and name not in secrets
            secrets[name] = secret
            self._answer(201, secret)

        def do_PUT(self):
            secret = self._body()
            assert self._name() == secret["metadata"]["name"] and self._name() in secrets
            secrets[self._name()] = secret
            self._answer(200, secret)

        def _name(self):
            assert self.headers["Authorization"] == f"Bearer {TOKEN}"
            found = re.fullmatch(r"/api/v1/namespaces/demo-micro/secrets(?:/([a-z0-9-]+))?", self.path)
            assert found, self.path
            return found[1]

        def _body(self):
            return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, status, body):
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    account.mkdir(parents=True, exist_ok=True)
    (account / "token").write_text(TOKEN)
    (account / "namespace").write_text("demo-micro")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield (
            {"KUBERNETES_API": f"http://127.0.0.1:{server.server_port}", "SERVICE_ACCOUNT": str(account)},
            secrets,
        )
    finally:
        server.shutdown()
        server.server_close()
