"""A LocalStack with the extension, started for the session on a free port, and stopped at its end."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
import zipfile
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

START_LIMIT_S = 180
BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
ROLE = "arn:aws:iam::000000000000:role/function"


class LocalStack:
    """A LocalStack process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        self.endpoint = f"http://{self._address}"

    def start(self) -> None:
        (self._folder / "tmp").mkdir()
        settings = {
            "DISABLE_EVENTS": "1",
            "DNS_ADDRESS": "0",
            "FILESYSTEM_ROOT": str(self._folder / "files"),
            "GATEWAY_LISTEN": self._address,
            "LAMBDA_RUNTIME_EXECUTOR": "process",
            "LOCALSTACK_HOST": self._address,
            "OVERRIDE_IN_DOCKER": "0",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "TMPDIR": str(self._folder / "tmp"),
        }
        with open(self._folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "localstack.runtime.main"],
                env=os.environ | settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        eventually(self._responds, START_LIMIT_S)

    def _responds(self) -> bool:
        assert self.process.poll() is None, "LocalStack ended:\n" + (self._folder / "log").read_text()[-4000:]
        try:
            with urllib.request.urlopen(f"{self.endpoint}/_localstack/health", timeout=5):
                return True
        except (OSError, urllib.error.URLError):
            return False

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def client(self, service: str):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(read_timeout=120, retries={"total_max_attempts": 1}),
        )


def eventually(condition, limit_s: float = 30):
    """Waits until the condition is true, and returns what it returned."""
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {limit_s} s: {condition}"
        time.sleep(0.05)
    return value


def finished_stack(cloudformation, name: str) -> dict:
    """Waits until no operation on a CloudFormation stack is in progress, and returns its description."""

    def finished():
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        return None if stack["StackStatus"].endswith("_IN_PROGRESS") else stack

    return eventually(finished)


@pytest.fixture(scope="session")
def localstack(tmp_path_factory):
    server = LocalStack(tmp_path_factory.mktemp("localstack"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def lambda_client(localstack):
    return localstack.client("lambda")


class Function:
    """A deployed test function."""

    def __init__(self, client, name: str) -> None:
        self.client, self.name = client, name

    def invoke(self, **event):
        """Returns what the caller of the function gets: the payload, and FunctionError or None."""
        payload = json.dumps(event, ensure_ascii=False).encode()
        response = self.client.invoke(FunctionName=self.name, Payload=payload)
        payload = response["Payload"].read()
        return json.loads(payload) if payload else None, response.get("FunctionError")


@pytest.fixture(scope="session")
def make_function(lambda_client):
    """Deploys the test bootstrap as a new function, with any property of CreateFunction."""
    return function_maker(lambda_client)


def function_maker(lambda_client):
    """Returns a function that deploys test functions to the client's LocalStack."""

    def make(environment: dict | None = None, script: str | None = None, **properties) -> Function:
        name = f"function-{uuid.uuid4().hex[:8]}"
        source = script if script is not None else f"#!{sys.executable} -SE\n" + BOOTSTRAP.read_text()
        lambda_client.create_function(
            FunctionName=name,
            Role=ROLE,
            Code={"ZipFile": zip_of("bootstrap", source)},
            **{
                "Runtime": "provided.al2023",
                "Handler": "bootstrap",
                "Timeout": 20,
                "MemorySize": 256,
                "Environment": {"Variables": environment or {}},
            }
            | properties,
        )
        lambda_client.get_waiter("function_active_v2").wait(
            FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        return Function(lambda_client, name)

    return make


def zip_of(name: str, text: str) -> bytes:
    """A deployment package with one executable file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        info = zipfile.ZipInfo(name)
        info.external_attr = 0o755 << 16
        package.writestr(info, text)
    return buffer.getvalue()
