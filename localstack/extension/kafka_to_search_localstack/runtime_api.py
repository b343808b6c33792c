"""The Lambda Runtime API of one function process, and the part of the Extensions API that runtimes use themselves.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
"""

import json
import re
import socket
import threading
import uuid
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kafka_to_search_localstack.outcome import MAX_RESPONSE_BYTES, FunctionError, Response, ResponseTooLarge
from kafka_to_search_localstack.session import Session

NEXT = "/2018-06-01/runtime/invocation/next"
INIT_ERROR = "/2018-06-01/runtime/init/error"
RESULT = re.compile(r"/2018-06-01/runtime/invocation/([^/]+)/(response|error)")
EXTENSION = "/2020-01-01/extension"
ERROR_TYPE_HEADER = "Lambda-Runtime-Function-Error-Type"


class RuntimeApi:
    """Serves a session on a loopback port until it is closed."""

    def __init__(self, session: Session, function_name: str, function_version: str, handler: str) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._server.session = session
        self._server.registration = json.dumps(
            {"functionName": function_name, "functionVersion": function_version, "handler": handler}
        ).encode()
        threading.Thread(target=self._server.serve_forever, name="runtime-api", daemon=True).start()

    @property
    def address(self) -> str:
        """Host and port, for AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stops listening within half a second, without making the caller wait."""
        threading.Thread(target=self._close, name="runtime-api-close", daemon=True).start()

    def _close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # a runtime keeps one connection open
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        session: Session = self.server.session
        if self.path == NEXT:
            invocation = session.next_invocation()
            if invocation is None:
                self.close_connection = True
                return
            self._respond(
                HTTPStatus.OK,
                invocation.payload,
                {
                    "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                    "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
                    "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
                    "Lambda-Runtime-Trace-Id": invocation.trace_id,
                },
            )
        elif self.path == f"{EXTENSION}/event/next":
            session.wait_shutdown()
            self._respond(HTTPStatus.OK, b'{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":0}')
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "Runtime.UnknownPath", f"no such path: {self.path}")

    def do_POST(self) -> None:
        session: Session = self.server.session
        body = self._body()
        if result := RESULT.fullmatch(self.path):
            self._finish(session, result[1], result[2], body)
        elif self.path == INIT_ERROR:
            session.fail_init(FunctionError.from_post(body, self.headers.get(ERROR_TYPE_HEADER)))
            self._accept()
        elif self.path == f"{EXTENSION}/register":
            identifier = {"Lambda-Extension-Identifier": str(uuid.uuid4())}
            self._respond(HTTPStatus.OK, self.server.registration, identifier)
        elif self.path in (f"{EXTENSION}/init/error", f"{EXTENSION}/exit/error"):
            self._accept()
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "Runtime.UnknownPath", f"no such path: {self.path}")

    def _finish(self, session: Session, request_id: str, kind: str, body: bytes) -> None:
        if kind == "error":
            outcome = FunctionError.from_post(body, self.headers.get(ERROR_TYPE_HEADER))
        elif len(body) > MAX_RESPONSE_BYTES:
            outcome = ResponseTooLarge(len(body))
        else:
            outcome = Response(body)
        if not session.finish(request_id, outcome):
            self._refuse(HTTPStatus.BAD_REQUEST, "InvalidRequestID", f"{request_id} is not the running invocation")
        elif isinstance(outcome, ResponseTooLarge):
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "RequestEntityTooLarge", f"response of {len(body)} bytes")
        else:
            self._accept()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers, then an empty line
            pass
        return b"".join(chunks)

    def _accept(self) -> None:
        self._respond(HTTPStatus.ACCEPTED, b'{"status":"OK"}')

    def _refuse(self, status: HTTPStatus, error_type: str, message: str) -> None:
        self._respond(status, json.dumps({"errorType": error_type, "errorMessage": message}).encode())

    def _respond(self, status: HTTPStatus, body: bytes, headers: dict[str, str] | None = None) -> None:
        # Head and body in separate segments cost a delayed ACK, 40 ms per invocation. MSG_MORE joins them without copying
        # the payload.
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        self.connection.sendall("\r\n".join(lines).encode(), socket.MSG_MORE)
        self.connection.sendall(body)

    def log_message(self, *args) -> None:
        """Logs nothing: a line per request would flood LocalStack's log."""
