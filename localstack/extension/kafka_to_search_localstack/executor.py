"""The runtime executor `process`: runs a function's bootstrap as a child process of LocalStack.

LocalStack makes one executor for each execution environment and sends it one invocation at a time.
"""

import logging
import os
import threading
import time
from pathlib import Path

from localstack.services.lambda_.invocation.executor_endpoint import NAMESPACE, StatusErrorException
from localstack.services.lambda_.invocation.lambda_models import FunctionVersion, InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

from kafka_to_search_localstack import layers
from kafka_to_search_localstack.outcome import Exited, Failure, NoEntrypoint, Response, TimedOut, failure_payload
from kafka_to_search_localstack.output import Output
from kafka_to_search_localstack.platform_log import Report, platform_log
from kafka_to_search_localstack.process import FunctionProcess
from kafka_to_search_localstack.runtime_api import RuntimeApi
from kafka_to_search_localstack.session import Invocation, Session

LOG = logging.getLogger(__name__)

# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
INIT_LIMIT_S = 10.0
SHUTDOWN_GRACE_S = 0.5

# A function inherits only these of LocalStack's variables: it needs them to run and to trust certificates.
INHERITED = ("PATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR")
# For the init process that LocalStack puts into its containers.
FOR_CONTAINERS = ("LOCALSTACK_RUNTIME_ID", "LOCALSTACK_RUNTIME_ENDPOINT", "LOCALSTACK_FUNCTION_ACCOUNT_ID")


class ProcessRuntimeExecutorPlugin(RuntimeExecutorPlugin):
    """Registers the executor as LAMBDA_RUNTIME_EXECUTOR=process."""

    name = "process"

    def load(self, *args, **kwargs) -> type[RuntimeExecutor]:
        """Returns the executor."""
        return ProcessRuntimeExecutor


class ProcessRuntimeExecutor(RuntimeExecutor):
    """One execution environment: at most one process at a time, restarted when it has ended."""

    def __init__(self, id: str, function_version: FunctionVersion) -> None:
        super().__init__(id=id, function_version=function_version)
        self._config = function_version.config
        self._log = platform_log((self._config.logging_config or {}).get("LogFormat"))
        self._output = Output()
        self._env: dict[str, str] = {}
        self._bootstrap = Path()
        self._environment: _Environment | None = None
        self._init_ms: float | None = None
        self._invoking = threading.Lock()

    def start(self, env_vars: dict[str, str]) -> None:
        """Starts the process and waits for its init.

        The first invocation retries an init that failed, as in Lambda; the caller gets the error of that retry.
        """
        self._bootstrap = Path(self._config.code.get_unzipped_code_location()) / "bootstrap"
        self._env = {name: os.environ[name] for name in INHERITED if name in os.environ}
        self._env |= {name: str(value) for name, value in env_vars.items() if name not in FOR_CONTAINERS}
        opt = layers.folder_of(self._config.layers)
        self._env |= {
            name: layers.with_folder(self._env[name], opt)
            for name in self._config.environment or {}
            if name in self._env
        }
        self._env["LAMBDA_TASK_ROOT"] = str(self._bootstrap.parent)
        failure = self._init(INIT_LIMIT_S, phase="init")
        # A provisioned environment has no invocation yet that could report the failure.
        if failure and env_vars.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "provisioned-concurrency":
            raise StatusErrorException("init failed", payload=failure_payload(failure, self.id))

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        """Runs one invocation; every failure of the function is a result, not an exception."""
        request_id = payload["invoke-id"]
        with self._invoking:
            self._output.add_all(self._log.start(request_id, self.function_version.id.qualifier))
            started = time.monotonic()
            outcome = self._run(payload, self._config.timeout)
            duration_ms = (time.monotonic() - started) * 1000
            failure = None if isinstance(outcome, Response) else outcome
            if self._environment:
                self._environment.process.drain_output()
            report = Report(
                duration_ms=duration_ms,
                memory_size_mb=self._config.memory_size,
                max_memory_mb=self._environment.process.measure_memory() if self._environment else 0,
                init_duration_ms=self._init_ms,
                failure=failure,
            )
            self._init_ms = None
            if isinstance(failure, Exited | TimedOut):
                self._end_environment()
            self._output.add_all(self._log.end(request_id, report))
            return InvocationResult(
                request_id=request_id,
                payload=failure_payload(failure, request_id) if failure else outcome.body,
                is_error=failure is not None,
                logs="\n".join(self._output.take()),
            )

    def stop(self) -> None:
        """Ends the environment after its running invocation, if there is one.

        LocalStack stops the environments of a function's old code as soon as it has the new code;
        Lambda lets their invocations finish.
        """
        if self._invoking.locked():
            threading.Thread(target=self._stop_idle, name="function-stop", daemon=True).start()
        else:
            self._stop_idle()

    def get_logs(self) -> str:
        """The lines that no invocation has taken yet."""
        return "\n".join(self._output.peek())

    def get_address(self) -> str:
        """The process shares LocalStack's network."""
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        """The process shares LocalStack's network."""
        return "127.0.0.1"

    def get_runtime_endpoint(self) -> str:
        """Only LocalStack's own container init calls it; the process has its Runtime API."""
        return f"http://127.0.0.1{NAMESPACE}/{self.id}"

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        """Unpacks the code and the layers."""
        if function_version.config.code:
            function_version.config.code.prepare_for_execution()
        layers.unpack(function_version.config.layers)

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        """Keeps the code, which LocalStack itself removes with the function, and the layers, which other functions may have."""

    def _run(self, payload: dict[str, str], limit_s: float) -> Response | Failure:
        deadline = time.monotonic() + limit_s
        deadline_ms = int((time.time() + limit_s) * 1000)
        if self._environment:
            # After its last response the process may still be busy, or may have ended.
            if isinstance(self._environment.session.wait_ready(limit_s), TimedOut):
                return TimedOut(limit_s)
            if not self._environment.process.alive:
                self._end_environment()
        if not self._environment:
            failure = self._init(deadline - time.monotonic(), phase="invoke")
            if failure:
                return TimedOut(limit_s) if isinstance(failure, TimedOut) else failure
        invocation = Invocation(
            request_id=payload["invoke-id"],
            payload=payload["payload"].encode(),
            function_arn=payload["invoked-function-arn"],
            trace_id=payload["trace-id"],
            deadline_ms=deadline_ms,
        )
        outcome = self._environment.session.run(invocation, deadline - time.monotonic())
        return TimedOut(limit_s) if isinstance(outcome, TimedOut) else outcome

    def _init(self, limit_s: float, phase: str) -> Failure | None:
        started = time.monotonic()
        if os.access(self._bootstrap, os.X_OK):
            self._environment = _Environment(self.function_version, self._bootstrap, self._env, self._output)
            failure = self._environment.session.wait_ready(limit_s)
        else:
            failure = NoEntrypoint(str(self._bootstrap))
        init_ms = (time.monotonic() - started) * 1000
        if failure:
            if self._environment:
                self._environment.process.drain_output()
                self._end_environment()
            self._output.add_all(self._log.init_failure(phase, init_ms, failure))
            LOG.warning("init of %s failed: %s", self.function_version.qualified_arn, failure)
        else:
            self._init_ms = init_ms
        return failure

    def _end_environment(self) -> None:
        if self._environment:
            self._environment.kill()
            self._environment = None

    def _stop_idle(self) -> None:
        with self._invoking:
            if self._environment:
                self._environment.stop()
                self._environment = None


class _Environment:
    """A process with its own session and Runtime API."""

    def __init__(self, version: FunctionVersion, bootstrap: Path, env: dict[str, str], output: Output) -> None:
        self.session = Session()
        self._api = RuntimeApi(
            self.session, version.id.function_name, version.id.qualifier, version.config.handler or "bootstrap"
        )
        env = env | {"AWS_LAMBDA_RUNTIME_API": self._api.address}
        try:
            self.process = FunctionProcess(bootstrap, env, version.config.memory_size, self.session, output)
        except BaseException:
            self._close()
            raise

    def stop(self) -> None:
        """Ends the process gracefully: SHUTDOWN to its extensions, then SIGTERM, then SIGKILL."""
        self.session.announce_shutdown()
        self.process.stop(SHUTDOWN_GRACE_S)
        self._close()

    def kill(self) -> None:
        """Ends the process at once."""
        self.process.kill()
        self._close()

    def _close(self) -> None:
        self.session.close()
        self._api.close()
