"""The gunicorn worker: threads, and errors in JSON where gunicorn itself refuses a request."""

import json
import socket
from typing import Any

from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

STATUSES: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.LimitRequestLine, 414, "URI Too Long"),
    (errors.LimitRequestHeaders, 431, "Request Header Fields Too Large"),
    (errors.ExpectationFailed, 417, "Expectation Failed"),
    (errors.UnsupportedTransferCoding, 501, "Not Implemented"),
    (errors.ParseException, 400, "Bad Request"),
)
SEND_SECONDS = 2.0


class KennelWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's gthread worker, speaking JSON about requests that never reach the application."""

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer what cannot be parsed. Overrides gunicorn's page in HTML."""
        del addr
        for kind, status, phrase in STATUSES:
            if isinstance(exc, kind):
                self.log.warning("refused a request: %s: %s", type(exc).__name__, exc)
                self._send(client, status, phrase, f"{type(exc).__name__}: {exc}")
                return
        self.log.exception("error handling request %s", getattr(req, "uri", "(not read)"))
        self._send(client, 500, "Internal Server Error", "the server failed on this request")

    def _send(self, client: socket.socket, status: int, phrase: str, message: str) -> None:
        error = {"error": phrase.replace(" ", ""), "message": " ".join(message.split())[:500]}
        body = json.dumps(error).encode() + b"\n"
        head = (
            f"HTTP/1.1 {status} {phrase}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            client.settimeout(SEND_SECONDS)
            client.sendall(head.encode("ascii") + body)
        except OSError:
            self.log.debug("the client was gone before it could be told")

    def _cap_keepalive(self, deadline: float) -> None:
        """Also close connections that never sent a byte: they would hold up every stop."""
        super()._cap_keepalive(deadline)
        for connection in self.pending_conns:
            connection.timeout = min(connection.timeout, deadline)
