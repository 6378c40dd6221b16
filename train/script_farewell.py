"""Farewell: hosts whose script has ended well wait for the others before they leave.

SageMaker's job lasts until all containers have ended, so nothing is lost by it there. The SDK's
Local Mode kills all containers as soon as one ends (CONTRACT E), files half written or not.
"""

import contextlib
import logging
import select
import socket
import socketserver
import threading
import time
from collections.abc import Iterator, Sequence

from train.stop import Stop

log = logging.getLogger(__name__)

PORT = 7779
_CALL_SECONDS = 10.0  # a host that does not answer so long is gone
_TRY_SECONDS = 2.0
_POLL_SECONDS = 0.1
_MAX_NAME_BYTES = 256


class Farewell:
    """Hears which hosts have ended well, from before a script starts until this host leaves."""

    def __init__(
        self, current: str, others: Sequence[str], port: int = PORT, address: str = ""
    ) -> None:
        """`address` is the one to listen on; all, when it is empty."""
        self._current, self._others, self._port = current, tuple(others), port
        self._address = address
        self._finished: set[str] = set()
        self._is_open = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Others may say meanwhile that they have finished. Nothing is done on a single host."""
        if not self._others:
            yield
            return
        finished = self._finished

        class Hello(socketserver.BaseRequestHandler):
            """Its name, then silence until either end leaves."""

            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    name = self.request.recv(_MAX_NAME_BYTES).decode("utf-8", "replace")
                    finished.add(name.strip())
                    self.request.recv(1)

        try:
            server = _Server((self._address, self._port), Hello)
        except OSError as error:
            log.warning(
                "script  port %d is taken (%s): this host will not wait for the others",
                self._port,
                error.strerror,
            )
            yield
            return
        self._is_open = True
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._is_open = False
            server.shutdown()
            server.server_close()

    def wait(self, stop: Stop) -> None:
        """Say that this host has finished; wait for each other one to say so, to die, or `stop`."""
        if not self._is_open:
            return
        with contextlib.ExitStack() as stack:
            lines = {}
            deadline = time.monotonic() + _CALL_SECONDS
            for host in self._others:
                line = self._call(host, deadline, stop)
                if line is not None:
                    lines[host] = stack.enter_context(line)
            told = False
            while not stop.signalled:
                waited_for = [
                    host
                    for host, line in lines.items()
                    if host not in self._finished and _is_up(line)
                ]
                if not waited_for:
                    return
                if not told:
                    log.info("script  done here; waiting for %s to end", ", ".join(waited_for))
                    told = True
                time.sleep(_POLL_SECONDS)

    def _call(self, host: str, deadline: float, stop: Stop) -> socket.socket | None:
        """A line on which the host has our name; None when it is gone."""
        while not stop.signalled:
            try:
                line = socket.create_connection((host, self._port), timeout=_TRY_SECONDS)
            except OSError:
                if host in self._finished or time.monotonic() > deadline:
                    return None
                time.sleep(_POLL_SECONDS)
                continue
            with contextlib.suppress(OSError):  # it has just left
                line.sendall(self._current.encode() + b"\n")
                _keep_alive(line)
            return line
        return None


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False  # the handlers end with the process


def _is_up(line: socket.socket) -> bool:
    """False once the other end has closed; it never writes."""
    readable, _, _ = select.select([line], [], [], 0)
    return not readable


def _keep_alive(line: socket.socket) -> None:
    """A machine that vanishes without a word is noticed within a minute."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):  # not on every system
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
