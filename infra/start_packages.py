"""Starts the programs of `make package` as Lambda does, and gives each an event: `make start-packages`.

The zips of another processor run under emulation: Debian's packages qemu-user-static and libc6-arm64-cross have what arm64 needs on
x86_64. The Runtime API and the search cluster are stand-ins: what is tried is that the shipped program starts and responds.
"""

import argparse
import base64
import gzip
import http.server
import json
import os
import platform
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from package import COMMAND_LINE, MACHINES, PACKAGES

EMULATORS = {
    "arm64": ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"],
    "x86_64": ["qemu-x86_64-static", "-L", "/usr/x86_64-linux-gnu"],
}
TIMEOUT_S = 120
ORDER = {"order_id": "1", "total": 9.5}
RECORD = {
    "topic": "order.events",
    "partition": 0,
    "offset": 7,
    "timestamp": 1_700_000_000_000,
    "timestampType": "CREATE_TIME",
    "value": base64.b64encode(json.dumps(ORDER).encode()).decode(),
    "headers": [],
}
EVENT = {
    "eventSource": "SelfManagedKafka",
    "bootstrapServers": "kafka:9092",
    "records": {"order.events-0": [RECORD]},
}
# What each of the other functions refuses by an error of its own, before it asks anyone: an event, and the variables that it needs to
# start.
REFUSED: dict[str, tuple[dict, dict[str, str]]] = {
    "account-records": ({"since": "soon"}, {"INDEX_FUNCTION": "index-events"}),
    "provision-cluster": ({}, {}),
    "replay-dead-letters": ({}, {}),
}


class StartError(Exception):
    """A program does not start, or does not respond as it should."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        # A program is ended while it waits for its next event.
        with suppress(ConnectionError):
            super().handle()

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def respond(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def _served(handler: type[_Handler]) -> Iterator[str]:
    """The address of a server on this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _runtime_api(events: queue.Queue, responses: queue.Queue) -> type[_Handler]:
    class RuntimeApi(_Handler):
        def do_GET(self) -> None:
            event = events.get()
            deadline = str(int((time.time() + TIMEOUT_S) * 1000))
            arn = "arn:aws:lambda:eu-central-1:123456789012:function:function"
            self.respond(
                200,
                json.dumps(event).encode(),
                Lambda_Runtime_Aws_Request_Id="1",
                Lambda_Runtime_Deadline_Ms=deadline,
                Lambda_Runtime_Invoked_Function_Arn=arn,
            )

        def do_POST(self) -> None:
            body = self.body()
            self.respond(202, b"{}")
            responses.put((self.path, body.decode()))

    return RuntimeApi


def _search_cluster(documents: list[dict]) -> type[_Handler]:
    class SearchCluster(_Handler):
        def do_POST(self) -> None:
            body = self.body()
            text = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            lines = [json.loads(line) for line in text.splitlines() if line]
            documents.extend(lines[1::2])
            items = [{"create": {"status": 201}} for _ in lines[1::2]]
            self.respond(200, json.dumps({"errors": False, "items": items}).encode())

    return SearchCluster


def invoke(command: list[str], event: dict, variables: dict[str, str]) -> tuple[str, str]:
    """The path of the Runtime API and the body with which a program responds to an event."""
    events: queue.Queue = queue.Queue()
    responses: queue.Queue = queue.Queue()
    events.put(event)
    with _served(_runtime_api(events, responses)) as address:
        environment = {
            "AWS_LAMBDA_RUNTIME_API": address,
            "AWS_LAMBDA_FUNCTION_NAME": "function",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_GROUP_NAME": "logs",
            "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }
        process = subprocess.Popen(
            command, env=environment | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            deadline = time.monotonic() + TIMEOUT_S
            while time.monotonic() < deadline:
                try:
                    return responses.get(timeout=0.1)
                except queue.Empty:
                    if process.poll() is not None:
                        raise StartError(f"it ended by itself: {process.communicate()[0].decode()[-2000:]}") from None
            raise StartError(f"no response in {TIMEOUT_S} s")
        finally:
            process.kill()
            process.wait()


def start(archive: Path, architecture: str) -> str:
    """Starts the program of a zip. Returns what it responded, in a line."""
    emulator = [] if MACHINES.get(platform.machine().lower()) == architecture else EMULATORS[architecture]
    if emulator and shutil.which(emulator[0]) is None:
        raise StartError(f"{emulator[0]} is missing: install qemu-user-static and the C library of {architecture}")
    with tempfile.TemporaryDirectory() as folder:
        # As unzip does, and unlike zipfile: with the mode that the zip says.
        with zipfile.ZipFile(archive) as zipped:
            (entry,) = zipped.infolist()
            program = Path(zipped.extract(entry, folder))
            os.chmod(program, entry.external_attr >> 16)
        command = [*emulator, str(program)]
        if archive.stem == COMMAND_LINE:
            done = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
            return done.stdout.strip().splitlines()[0]
        documents: list[dict] = []
        with _served(_search_cluster(documents)) as cluster:
            variables = {"SEARCH_ENDPOINT": f"http://{cluster}"}
            if archive.stem != "index-events":
                # Their events need more than a bulk endpoint.
                event, needed = REFUSED[archive.stem]
                path, body = invoke(command, event, variables | needed)
                if not path.endswith("/error") or "errorType" not in body:
                    raise StartError(f"its response is {path} {body}")
                return body
            path, body = invoke(command, EVENT, variables)
        kept = [(document.get("kafka_topic"), document.get("total")) for document in documents]
        if not path.endswith("/response") or kept != [(RECORD["topic"], ORDER["total"])]:
            raise StartError(f"its response is {path} {body}, and it wrote {documents}")
        return f"{body}, with one document written"


def main() -> int:
    """Starts every program below infra/packages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("architectures", nargs="*", metavar="ARCHITECTURE", help="default: all that were made")
    chosen = parser.parse_args().architectures
    archives = [path for path in sorted(PACKAGES.glob("*/*.zip")) if not chosen or path.parent.name in chosen]
    if not archives:
        print("error: there is no package: run `make package`", file=sys.stderr)
        return 1
    failed = 0
    for archive in archives:
        try:
            outcome = start(archive, archive.parent.name)
        except (StartError, subprocess.SubprocessError, OSError) as error:
            failed += 1
            outcome = f"error: {error}"
        print(f"{archive.parent.name}/{archive.name}, {archive.stat().st_size / 1e6:.1f} MB: {outcome}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
