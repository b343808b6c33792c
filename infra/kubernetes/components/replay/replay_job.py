"""Replays dead letters in the cluster: runs the function replay-dead-letters as Lambda does, until it has processed them all.

REPLAY_REQUEST is the request of the function, REPLAY_PROGRAM its program (default /usr/local/bin/replay-dead-letters), API_KEY
its Elasticsearch key. This script is the function's Lambda Runtime API
(https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html) and its Secrets Manager. It exits with 1 if something was not
replayed.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue

# Of one invocation, as on AWS.
TIMEOUT_MS = 900_000
ARN = "arn:aws:lambda:us-east-1:000000000000:function:replay-dead-letters"


def main() -> int:
    """Invokes the function, then with the response's `next`, for as long as it makes progress."""
    request = json.loads(os.environ["REPLAY_REQUEST"])
    requests, responses = Queue(), Queue()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(requests, responses, os.environ["API_KEY"]))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("API_KEY", "REPLAY_REQUEST")},
        "AWS_LAMBDA_RUNTIME_API": address,
        "AWS_ENDPOINT_URL": f"http://{address}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_LAMBDA_FUNCTION_NAME": "replay-dead-letters",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "SEARCH_AUTH": "api_key",
        "SEARCH_SECRET_ID": "search",
    }
    program = os.environ.get("REPLAY_PROGRAM", "/usr/local/bin/replay-dead-letters")
    process = subprocess.Popen([program], env=environment)
    threading.Thread(target=lambda: responses.put(("ended", process.wait())), daemon=True).start()
    try:
        while True:
            requests.put(request)
            kind, response = responses.get()
            print(json.dumps(response), flush=True)
            if kind != "response":
                print(f"the function failed: {kind}", file=sys.stderr)
                return 1
            if response["complete"]:
                return 1 if response.get("failed") else 0
            # A run that failed would fail again at once. A run that reached its time limit continues.
            if response.get("failed") or response["next"] == request:
                print("it stopped without progress: run it again when the cluster is well", file=sys.stderr)
                return 1
            request = response["next"]
    finally:
        process.kill()
        server.shutdown()


def handler(requests: Queue, responses: Queue, api_key: str) -> type[BaseHTTPRequestHandler]:
    """Serves the Runtime API, and the one secret."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if not self.path.endswith("/runtime/invocation/next"):
                self.respond(404, {})
                return
            event = requests.get()
            headers = {
                "Lambda-Runtime-Aws-Request-Id": "replay",
                "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + TIMEOUT_MS),
                "Lambda-Runtime-Invoked-Function-Arn": ARN,
                "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000",
            }
            self.respond(200, event, headers)

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("X-Amz-Target") == "secretsmanager.GetSecretValue":
                secret = {"ARN": "search", "Name": "search", "SecretString": json.dumps({"api_key": api_key})}
                self.respond(200, secret, {"Content-Type": "application/x-amz-json-1.1"})
                return
            found = re.search(r"/runtime/(?:invocation/[^/]+/|init/)(response|error)$", self.path)
            self.respond(202 if found else 404, {})
            if found:
                responses.put((found[1], json.loads(body or b"{}")))

        def respond(self, status, body, headers=()):
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **dict(headers)}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    return Handler


if __name__ == "__main__":
    sys.exit(main())
