"""Body: a request's bytes, read within limits on size and on waiting."""

import time
from collections.abc import Mapping
from typing import Any, Protocol

from gunicorn.http.errors import ParseException

from contract.errors import RequestError

CHUNK_BYTES = 1024 * 1024
DISCARD_SECONDS = 0.1
# What reading raises when the client hangs up or its chunks are malformed.
BROKEN = (OSError, ParseException)


class Stream(Protocol):
    """What WSGI calls wsgi.input."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


def read_body(
    stream: Stream, environ: Mapping[str, Any], limit_bytes: int, timeout_seconds: float
) -> bytes:
    """The whole body, also a chunked one without Content-Length.

    Raises RequestError: 413 naming limit and size, 408 when the client stalls, 400 when it hangs
    up early or its chunks are malformed.
    """
    declared = _declared_bytes(environ)
    if declared is not None and declared > limit_bytes:
        raise _too_large(f"{declared:,}", limit_bytes)
    _limit_waiting(environ, timeout_seconds)
    chunks: list[bytes] = []
    size = 0
    while True:
        try:
            # Never waits for more than the first byte over the limit.
            chunk = stream.read(min(CHUNK_BYTES, limit_bytes - size + 1))
        except TimeoutError:
            raise RequestError(
                408, f"the body stalled for {timeout_seconds:g} s after {size:,} bytes; send again"
            ) from None
        except BROKEN as error:
            raise RequestError(400, f"the body ends in error: {error}") from None
        if not chunk:
            break
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(f"over {size - len(chunk):,}", limit_bytes)
        chunks.append(chunk)
    if declared is not None and size < declared:
        raise RequestError(400, f"the body ended after {size:,} of {declared:,} bytes")
    return b"".join(chunks)


def discard_body(stream: Stream, environ: Mapping[str, Any]) -> None:
    """Read and forget what has arrived, so that the connection can be used again.

    When there is more to come, the answer is the connection's last. The worker then reads the
    rest beside its other work: closing on unread bytes would lose the answer.
    """
    deadline = time.monotonic() + DISCARD_SECONDS
    while (seconds := deadline - time.monotonic()) > 0:
        _limit_waiting(environ, seconds, longer=False)
        try:
            chunk = stream.read(CHUNK_BYTES)
        except BROKEN:
            break
        if not chunk:
            return
    connection = environ.get("gunicorn.socket")
    if connection is not None:
        connection.end_after_answer()


def _declared_bytes(environ: Mapping[str, Any]) -> int | None:
    text = environ.get("CONTENT_LENGTH") or ""
    return int(text) if text.isdigit() else None


def _limit_waiting(environ: Mapping[str, Any], seconds: float, *, longer: bool = True) -> None:
    """A client that sends little or nothing may not hold a thread for ever."""
    connection = environ.get("gunicorn.socket")
    if connection is not None:
        connection.allow(seconds, longer=longer)


def _too_large(size: str, limit_bytes: int) -> RequestError:
    return RequestError(
        413, f"the body has {size} bytes; the limit is {limit_bytes:,}: send smaller pictures"
    )
