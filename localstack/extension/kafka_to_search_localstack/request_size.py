"""The maximum payload of a synchronous invocation."""

from localstack.aws.api.lambda_ import InvocationType, RequestTooLargeException

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_REQUEST_BYTES = 6 * 1024 * 1024


def check_request_size(invocation_type: str | None, payload: bytes | None) -> None:
    """Raises the API's error for a payload over 6 MB."""
    if invocation_type not in (None, InvocationType.RequestResponse):
        return
    if payload and len(payload) > MAX_REQUEST_BYTES:
        raise RequestTooLargeException(
            f"Request must be smaller than {MAX_REQUEST_BYTES} bytes for the InvokeFunction operation", Type="User"
        )
