"""How an init or an invocation ended, and the error payload that Lambda returns for it."""

import json
import signal
from dataclasses import dataclass

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 6 MB, and 100 bytes for what Lambda adds.
MAX_RESPONSE_BYTES = 6 * 1024 * 1024 + 100


@dataclass(frozen=True)
class Response:
    """The runtime posted a response."""

    body: bytes


@dataclass(frozen=True)
class FunctionError:
    """The runtime posted an error, for an invocation or for its init."""

    body: bytes
    error_type: str

    @classmethod
    def from_post(cls, body: bytes, header: str | None) -> "FunctionError":
        """Reads the type from the body, as Lambda does, or from the header if the body has none."""
        try:
            error_type = json.loads(body)["errorType"]
        except (ValueError, TypeError, KeyError):
            error_type = header or "Runtime.Unknown"
            body = body or error_payload(error_type, "")
        return cls(body, str(error_type))


@dataclass(frozen=True)
class ResponseTooLarge:
    """The runtime posted a response over Lambda's limit."""

    n_bytes: int


@dataclass(frozen=True)
class Exited:
    """The process ended before the init or invocation was complete."""

    returncode: int


@dataclass(frozen=True)
class TimedOut:
    """The time limit passed before the init or invocation was complete."""

    limit_s: float


@dataclass(frozen=True)
class NoEntrypoint:
    """There is no executable bootstrap."""

    path: str


Failure = FunctionError | ResponseTooLarge | Exited | TimedOut | NoEntrypoint


def failure_type(failure: Failure) -> str:
    """The errorType that Lambda gives the failure."""
    match failure:
        case FunctionError(error_type=error_type):
            return error_type
        case ResponseTooLarge():
            return "Function.ResponseSizeTooLarge"
        case Exited():
            return "Runtime.ExitError"
        case TimedOut():
            return "Sandbox.Timedout"
        case NoEntrypoint():
            return "Runtime.InvalidEntrypoint"


def failure_payload(failure: Failure, request_id: str) -> bytes:
    """The body that the caller of the function gets."""
    match failure:
        case FunctionError(body=body):
            return body
        case ResponseTooLarge(n_bytes=n_bytes):
            message = (
                f"Response payload size ({n_bytes} bytes) exceeded maximum allowed payload size"
                f" ({MAX_RESPONSE_BYTES} bytes)."
            )
        case _:
            message = f"RequestId: {request_id} Error: {failure_reason(failure)}"
    return error_payload(failure_type(failure), message)


def failure_reason(failure: Failure) -> str:
    """One phrase for the log: Lambda's own text where it has one."""
    match failure:
        case Exited(returncode=0):
            return "Runtime exited without providing a reason"
        case Exited(returncode=code) if code < 0:
            return f"Runtime exited with error: signal: {_signal_name(-code)}"
        case Exited(returncode=code):
            return f"Runtime exited with error: exit status {code}"
        case TimedOut(limit_s=limit_s):
            return f"Task timed out after {limit_s:.2f} seconds"
        case NoEntrypoint(path=path):
            return f"Couldn't find valid bootstrap(s): [{path}]"
        case _:
            return failure_type(failure)


def error_payload(error_type: str, message: str) -> bytes:
    """The JSON of an error that Lambda itself reports."""
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()


def _signal_name(number: int) -> str:
    return (signal.strsignal(number) or str(number)).lower()
