"""The lines that Lambda itself writes around an invocation, as text or as JSON by the function's LogFormat.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-view.html
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil

from kafka_to_search_localstack.outcome import Failure, FunctionError, TimedOut, failure_reason, failure_type


@dataclass(frozen=True)
class Report:
    """The measurements of one invocation."""

    duration_ms: float
    memory_size_mb: int
    max_memory_mb: int
    init_duration_ms: float | None
    failure: Failure | None


class TextLog:
    """LogFormat Text, the default."""

    def start(self, request_id: str, version: str) -> list[str]:
        """The lines before an invocation."""
        return [f"START RequestId: {request_id} Version: {version}"]

    def end(self, request_id: str, report: Report) -> list[str]:
        """The lines after an invocation."""
        fields = [
            f"REPORT RequestId: {request_id}",
            f"Duration: {report.duration_ms:.2f} ms",
            f"Billed Duration: {ceil(report.duration_ms)} ms",
            f"Memory Size: {report.memory_size_mb} MB",
            f"Max Memory Used: {report.max_memory_mb} MB",
        ]
        if report.init_duration_ms is not None:
            fields.append(f"Init Duration: {report.init_duration_ms:.2f} ms")
        lines = []
        match report.failure:
            case None | FunctionError():
                pass
            case TimedOut() as failure:
                lines.append(f"{_now()} {request_id} {failure_reason(failure)}")
                fields.append("Status: timeout")
            case failure:
                lines += [f"RequestId: {request_id} Error: {failure_reason(failure)}", failure_type(failure)]
                fields += ["Status: error", f"Error Type: {failure_type(failure)}"]
        return [*lines, f"END RequestId: {request_id}", "\t".join(fields)]

    def init_failure(self, phase: str, duration_ms: float, failure: Failure) -> list[str]:
        """Reports an init that failed in the init phase, or in the retry by an invocation (phase invoke)."""
        status = "timeout" if isinstance(failure, TimedOut) else "error"
        return [
            f"INIT_REPORT Init Duration: {duration_ms:.2f} ms\tPhase: {phase}\tStatus: {status}"
            f"\tError Type: {failure_type(failure)}"
        ]


class JsonLog:
    """LogFormat JSON: the platform's lines are JSON too."""

    def start(self, request_id: str, version: str) -> list[str]:
        """The lines before an invocation."""
        return [_event("platform.start", {"requestId": request_id, "version": version})]

    def end(self, request_id: str, report: Report) -> list[str]:
        """The lines after an invocation."""
        metrics = {
            "durationMs": round(report.duration_ms, 3),
            "billedDurationMs": ceil(report.duration_ms),
            "memorySizeMB": report.memory_size_mb,
            "maxMemoryUsedMB": report.max_memory_mb,
        }
        if report.init_duration_ms is not None:
            metrics["initDurationMs"] = round(report.init_duration_ms, 3)
        record = {"requestId": request_id, "metrics": metrics, **_status(report.failure)}
        return [_event("platform.report", record)]

    def init_failure(self, phase: str, duration_ms: float, failure: Failure) -> list[str]:
        """Reports an init that failed in the init phase, or in the retry by an invocation (phase invoke)."""
        record = {
            "initializationType": "on-demand",
            "phase": phase,
            "metrics": {"durationMs": round(duration_ms, 3)},
            **_status(failure),
        }
        return [_event("platform.initReport", record)]


def platform_log(log_format: str | None) -> TextLog | JsonLog:
    """The log in the function's LogFormat."""
    return JsonLog() if log_format == "JSON" else TextLog()


def _status(failure: Failure | None) -> dict[str, str]:
    match failure:
        case None:
            return {"status": "success"}
        case TimedOut():
            return {"status": "timeout"}
        case _:
            return {"status": "error", "errorType": failure_type(failure)}


def _event(kind: str, record: dict) -> str:
    return json.dumps({"time": _now(), "type": kind, "record": record})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
