"""Peer: a line to another process of the job. Small JSON messages, one a line, over TCP."""

import contextlib
import json
import selectors
import socket
import threading
import time
from typing import Any

Message = dict[str, Any]

_SEND_SECONDS = 5.0
_MAX_LINE_BYTES = 65536


class Peer:
    """A connected socket and what is known about the process at its other end."""

    def __init__(self, connection: socket.socket, rank: int = -1) -> None:
        connection.settimeout(_SEND_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket, self.rank = connection, rank
        self.heard = time.monotonic()  # when the last word came
        self.is_open = True
        self.has_left = False  # it said good-bye
        self._buffer = b""
        self._lock = threading.Lock()  # the pulse and the main thread both send

    def tell(self, message: Message) -> None:
        """Send one message; a peer that is gone is noticed when listening."""
        with self._lock, contextlib.suppress(OSError):
            self.socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[Message]:
        """What has arrived. Call when the socket is readable. `is_open` is False afterwards when
        the other end has closed."""
        try:
            data = self.socket.recv(_MAX_LINE_BYTES)
        except TimeoutError:
            return []
        except OSError:
            data = b""
        if not data:
            self.is_open = False
            return []
        self.heard = time.monotonic()
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if len(self._buffer) > _MAX_LINE_BYTES:
            self.is_open = False
        return [message for line in lines if (message := _parse(line)) is not None]

    def close(self, linger_seconds: float) -> None:
        """Close once the other end has read all and closed, or after a while.

        Closing earlier could reset the connection and lose what was just sent.
        """
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + linger_seconds
            with selectors.DefaultSelector() as selector:
                selector.register(self.socket, selectors.EVENT_READ)
                while self.is_open and time.monotonic() < deadline:
                    if selector.select(max(0.0, deadline - time.monotonic())):
                        self.receive()
        self.socket.close()
        self.is_open = False


def _parse(line: bytes) -> Message | None:
    """None for what we never send: a port scanner may have come by."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
