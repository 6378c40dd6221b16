"""Connection: a client's socket that gives up on a client who is too slow, reading or writing."""

import errno
import select
import socket
import time
from typing import Any

# A client must keep up this pace, or its time runs out: far below any real network, far above
# what somebody can afford to keep up on every connection that we allow.
BYTES_PER_SECOND = 64 * 1024
DEFAULT_SECONDS = 60.0
# Room for an answer that its client has yet to read. The kernel takes it when it is used.
SEND_BUFFER_BYTES = 256 * 1024


class Connection(socket.socket):
    """Reading has a deadline for all of a request's bytes, not for each of them.

    gunicorn waits for `recv` as long as it takes, and a time-out for each call is no limit: one
    byte a second would hold a thread for days.
    """

    _deadline, _is_extended = 0.0, True
    request: Any = None  # gunicorn's, while it is answered

    @classmethod
    def take(cls, accepted: socket.socket) -> "Connection":
        """The same connection; `accepted` is empty after it."""
        taken = cls(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        taken.allow(DEFAULT_SECONDS)
        return taken

    def allow(self, seconds: float, *, longer: bool = True) -> None:
        """From now on reading may take this long, and `longer` as bytes really come."""
        self._deadline, self._is_extended = time.monotonic() + seconds, longer

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Raises TimeoutError when the time that was allowed is over."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the client is too slow")
        self.settimeout(left)
        data = super().recv(size, flags)
        if self._is_extended:
            self._deadline += len(data) / BYTES_PER_SECOND
        return data

    def recv_now(self, size: int) -> bytes:
        """What is there already. Raises BlockingIOError when that is nothing."""
        self.setblocking(False)
        return super().recv(size)

    def recv_soon(self, size: int, seconds: float) -> bytes:
        """What comes within so short a time; nothing, too, when the connection has ended."""
        poll = select.poll()
        poll.register(self, select.POLLIN)
        if not poll.poll(seconds * 1000):
            return b""
        try:
            return self.recv_now(size)
        except OSError:
            return b""

    def sendall(self, data: bytes, flags: int = 0, /) -> None:  # type: ignore[override]
        """Raises ConnectionResetError also when the client does not read its answer."""
        self.settimeout(DEFAULT_SECONDS + len(data) / BYTES_PER_SECOND)
        try:
            super().sendall(data, flags)
        except TimeoutError:  # gunicorn logs a traceback for anything but a reset
            raise ConnectionResetError(errno.ECONNRESET, "the client does not read") from None

    def is_writable(self) -> bool:
        """True when the client has read enough of earlier answers to be sent another."""
        poll = select.poll()
        poll.register(self, select.POLLOUT)
        return bool(poll.poll(0))

    def end_after_answer(self) -> None:
        """The answer to this request is the connection's last, and says so."""
        if self.request is not None:
            self.request.force_close()
