"""Refusal: the error table. Which status, name and words an error has for the client."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from werkzeug.http import HTTP_STATUS_CODES

from contract.errors import ImageError, ImageTooLargeError, KennelError, RequestError
from serve.body import discard_body
from serve.exchange import Exchange
from serve.memory import is_out_of_memory

log = logging.getLogger(__name__)

# Not the server's failures: it is full, or loading.
EXPECTED = (503, 507)


class Breakable(Protocol):
    """Who is told that the GPU died."""

    def mark_broken(self, reason: str) -> None:
        """Make /ping fail from now on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer that says why there is none."""

    status: int
    name: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """JSON and a line break."""
        return json_bytes({"error": self.name, "message": self.message})


def refuse(error: Exception, exchange: Exchange, service: Breakable, *, is_multi: bool) -> Refusal:
    """What the client is told; the log has the traceback of what is our own fault."""
    fields = {"fields": {"request_id": exchange.request_id}}
    if is_multi and is_out_of_memory(error):
        log.error("out of memory", exc_info=error, extra=fields)
        error = RequestError(507, f"out of memory: {one_line(str(error))[:300]}")
    elif "CUDA error" in str(error):  # sticky: every later call in this process fails too
        service.mark_broken(str(error))
    refusal = _refusal_of(error, exchange.request_id)
    if refusal.status >= 500 and refusal.status not in EXPECTED:
        log.error("%s: %s", type(error).__name__, error, exc_info=error, extra=fields)
    settle(refusal, exchange)
    return refusal


def settle(refusal: Refusal, exchange: Exchange) -> None:
    """Read what is left of the request, and note the refusal for the log."""
    if exchange.method == "POST":
        discard_body(exchange.stream, exchange.environ)
    exchange.fields["error"] = f"{refusal.name}: {refusal.message}"[:500]


def name_of(status: int) -> str:
    """A status as a word: 406 is NotAcceptable."""
    return HTTP_STATUS_CODES.get(status, "Error").title().replace(" ", "").replace("-", "")


def json_bytes(value: Mapping[str, object]) -> bytes:
    """One JSON object and a line break."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def one_line(text: str) -> str:
    """A header value may not hold a line break, nor what latin-1 cannot write."""
    return " ".join(text.encode("latin-1", "replace").decode("latin-1").split())


def _refusal_of(error: Exception, request_id: str) -> Refusal:
    if isinstance(error, RequestError):
        retry = error.retry_after_seconds
        return Refusal(
            status=error.status,
            name="UserCodeError" if type(error) is not RequestError else name_of(error.status),
            message=error.message,
            headers={} if retry is None else {"Retry-After": str(retry)},
        )
    if isinstance(error, ImageError):
        status = 413 if isinstance(error, ImageTooLargeError) else 400
        return Refusal(status=status, name=type(error).__name__, message=str(error))
    return Refusal(
        status=500,
        name=type(error).__name__ if isinstance(error, KennelError) else name_of(500),
        message=f"the server failed on this request; its log says why, request_id {request_id}",
    )
