"""The gunicorn worker: threads for whole requests only, and errors in JSON where gunicorn refuses.

gunicorn's own gthread worker gives a thread to every new connection, and keeps it while the
client's headers trickle in. Here the main loop collects them, so a connection costs a thread from
the end of its headers to the end of its answer, and idle or slow ones cost a file descriptor.
"""

import errno
import json
import re
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any

from gunicorn.http import errors
from gunicorn.workers import gthread

from serve.connection import Connection

STATUSES: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.LimitRequestLine, 414, "URI Too Long"),
    (errors.LimitRequestHeaders, 431, "Request Header Fields Too Large"),
    (errors.ExpectationFailed, 417, "Expectation Failed"),
    (errors.UnsupportedTransferCoding, 501, "Not Implemented"),
    (errors.ParseException, 400, "Bad Request"),
)
MAX_HEAD_BYTES = 64 * 1024
# gunicorn refuses a longer request line (4094) without waiting for its end.
MAX_LINE_BYTES = 8 * 1024
RECEIVE_BYTES = 16 * 1024
DRAIN_SECONDS = 0.1
AT_ONCE_SECONDS = 0.001
LINGER_SECONDS, LINGER_BYTES = 10.0, 64 * 1024 * 1024
# The process or the machine is out of descriptors or of memory for sockets.
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
Callback = Callable[[Any, Any], None]
_HTTP_1 = re.compile(rb"[^\r\n]* HTTP/1\.\d\r\n")
_BARE_LF = re.compile(rb"(?<!\r)\n")


class KennelWorker(gthread.ThreadWorker):  # type: ignore[misc]
    """All state here belongs to the main loop; threads only run `handle`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Each in the order of its deadlines: connections that have yet to send a whole head, with
        # what came of it, and answered ones that may still be sending, with how much they did.
        self._waiting: dict[Any, bytearray] = {}
        self._lingering: dict[Any, int] = {}

    def accept(self, listener: Any) -> None:
        """One more connection; for its sake the one that is silent longest goes, if need be."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in EXHAUSTED:
                self.log.warning("no more connections: %s", error.strerror)
                self._make_room()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        link = Connection.take(accepted)
        self._wait(
            gthread.TConn(self.cfg, link, address, listener.getsockname()), b"", self._collect
        )

    def finish_request(self, conn: Any, future: "Future[Any]") -> None:
        """A thread is done with the connection: close it, or wait for its next request."""
        failed = future.cancelled() or future.exception() is not None
        if failed or not future.result():
            self._linger(conn)
            return
        ahead = conn.parser.unreader.take_buffered()
        if ahead and is_whole(ahead):
            self._start(conn, ahead)
        else:
            self._wait(conn, ahead, self._collect)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close the connections whose time is over, or all of them."""
        now = time.monotonic()
        for group in (self._lingering, self._waiting):
            while group and (force or next(iter(group)).timeout <= now):
                conn = next(iter(group))
                if self._waiting.get(conn) and not force:
                    self._refuse(conn, 408, "Request Timeout", "the headers did not end in time")
                else:
                    self._close(conn)

    def murder_pending(self) -> None:
        """Nothing: no connection is deferred by a thread any more."""

    def handle(self, conn: Any) -> bool:
        """Answer, and go on with the client's next request if it comes at once, in a thread.

        Going round by the main loop costs more than all that the application does.
        """
        while super().handle(conn):
            if not self._comes_at_once(conn):
                return True
        return False

    def _comes_at_once(self, conn: Any) -> bool:
        """True when a whole next head is here, and no other connection waits for a thread."""
        unreader = conn.parser.unreader
        ahead = unreader.take_buffered()
        if not ahead and self.alive and self.tpool._work_queue.empty():
            ahead = conn.sock.recv_soon(RECEIVE_BYTES, AT_ONCE_SECONDS)
        unreader.unread(ahead)  # for the parser, or else for the main loop
        if not (ahead and is_whole(ahead) and self.alive and conn.sock.is_writable()):
            return False
        conn.sock.allow(DRAIN_SECONDS)
        return True

    def handle_request(self, req: Any, conn: Any) -> bool:
        """One request, in a thread."""
        conn.sock.request = req
        return bool(super().handle_request(req, conn))

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer what cannot be parsed. Overrides gunicorn's page in HTML."""
        del addr
        for kind, status, phrase in STATUSES:
            if isinstance(exc, kind):
                self.log.warning("refused a request: %s: %s", type(exc).__name__, exc)
                answer = refusal(status, phrase, f"{type(exc).__name__}: {exc}")
                break
        else:
            self.log.exception("error handling request %s", getattr(req, "uri", "(not read)"))
            answer = refusal(500, "Internal Server Error", "the server failed on this request")
        try:
            client.sendall(answer)
        except OSError:
            self.log.debug("the client was gone before it could be told")

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """What is left of a body is read, for a moment, before the connection is used again."""
        conn.sock.allow(DRAIN_SECONDS, longer=False)
        return bool(super()._keepalive_after(conn, keepalive))

    def _cap_keepalive(self, deadline: float) -> None:
        """Connections without a request in work would hold up every stop."""
        for conn in (*self._waiting, *self._lingering):
            conn.timeout = min(conn.timeout, deadline)

    def _wait(self, conn: Any, head: bytes, callback: Callback, event: int = EVENT_READ) -> None:
        """No thread is held until the client has done its part."""
        seconds = self.cfg.keepalive if self.alive else gthread.STOP_KEEPALIVE_LINGER
        conn.timeout = time.monotonic() + seconds
        self._waiting[conn] = bytearray(head)
        self._watch(conn, callback, event)

    def _collect(self, conn: Any, _file: Any) -> None:
        """Take what has come. A whole head, or one to be refused, goes to a thread."""
        data = self._receive(conn)
        if data is None:
            return
        head = self._waiting[conn]
        start = max(0, len(head) - 3)
        head += data
        if not data:
            self._close(conn)
        elif not (head[:1] == b"\r" or b"!" <= head[:1] <= b"~"):
            self._refuse(conn, 400, "Bad Request", "expected HTTP/1.1, got something binary")
        elif is_whole(head, start):
            self._release(conn)
            self._start(conn, bytes(head))
        elif len(head) > MAX_HEAD_BYTES:
            phrase = "Request Header Fields Too Large"
            self._refuse(conn, 431, phrase, f"over {MAX_HEAD_BYTES:,} bytes of headers")

    def _start(self, conn: Any, head: bytes) -> None:
        """Hand the request to a thread, once its client reads what it has been sent before."""
        if conn.initialized and not conn.sock.is_writable():
            self._wait(conn, head, self._resume, EVENT_WRITE)
            return
        conn.init()
        conn.parser.unreader.unread(head)
        conn.data_ready = True
        conn.sock.allow(DRAIN_SECONDS)  # until the application says how long a body may take
        self.enqueue_req(conn)

    def _resume(self, conn: Any, _file: Any) -> None:
        head = bytes(self._waiting[conn])
        self._release(conn)
        self._start(conn, head)

    def _refuse(self, conn: Any, status: int, phrase: str, message: str) -> None:
        """Answer from the main loop: at once or not at all."""
        self.log.warning("refused a connection: %s", message)
        self._release(conn)
        try:
            conn.sock.setblocking(False)
            conn.sock.send(refusal(status, phrase, message))
        except OSError:
            self.log.debug("the client was gone before it could be told")
        self._linger(conn)

    def _linger(self, conn: Any) -> None:
        """Close so that the answer arrives: closing on unread bytes would reset the connection.

        gunicorn waits here for the client's own end, up to 2 s for each, and nobody else is served.
        """
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
            return
        conn.timeout = time.monotonic() + LINGER_SECONDS
        self._lingering[conn] = 0
        self._watch(conn, self._discard, EVENT_READ)

    def _discard(self, conn: Any, _file: Any) -> None:
        data = self._receive(conn)
        if data is None:
            return
        self._lingering[conn] += len(data)
        if not data or self._lingering[conn] > LINGER_BYTES:
            self._close(conn)

    def _receive(self, conn: Any) -> bytes | None:
        """What is there; None when that is nothing yet, no bytes at the end or after a reset."""
        try:
            data: bytes = conn.sock.recv_now(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""
        return data

    def _watch(self, conn: Any, callback: Callback, event: int) -> None:
        conn.sock.setblocking(False)
        self.poller.register(conn.sock, event, partial(callback, conn))

    def _release(self, conn: Any) -> None:
        """The main loop no longer looks at the connection."""
        if self._waiting.pop(conn, None) is not None or self._lingering.pop(conn, None) is not None:
            self.poller.unregister(conn.sock)

    def _close(self, conn: Any) -> None:
        self._release(conn)
        self.nr_conns -= 1
        conn.close()

    def _make_room(self) -> None:
        """Give up the answered or silent connection that is nearest to its end anyway."""
        for group in (self._lingering, self._waiting):
            if group:
                self._close(next(iter(group)))
                return
        time.sleep(0.01)  # all are at work; do not spin on the listener


def is_whole(head: bytes | bytearray, start: int = 0) -> bool:
    """True when gunicorn's parser will not wait for more: the head ends, or must be refused.

    Args:
        head: all that came so far.
        start: where the end may begin; what lies before it has been looked at.
    """
    if head.find(b"\r\n\r\n", start) >= 0 or _BARE_LF.search(head, start):
        return True
    line = 2 if head.startswith(b"\r\n") else 0  # one empty line may come first
    if head.find(b"\n", line) >= 0:
        return _HTTP_1.match(head, line) is None
    return len(head) > MAX_LINE_BYTES


def refusal(status: int, phrase: str, message: str) -> bytes:
    """A whole answer for a request that never reaches the application."""
    error = {"error": phrase.replace(" ", ""), "message": " ".join(message.split())[:500]}
    body = json.dumps(error).encode() + b"\n"
    head = (
        f"HTTP/1.1 {status} {phrase}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body
