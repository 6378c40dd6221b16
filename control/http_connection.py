"""HTTP connection: one POST after another over one socket, at a quarter of http.client's price.

That matters where millions of small requests share two cores with the server that answers them:
http.client spends most of its third of a millisecond on parsing headers as if they were e-mail.
Known here is what HTTP/1.1 servers and proxies answer to a POST: a length, chunks, or the end of
the connection.
"""

import contextlib
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO
from urllib.parse import urlsplit

MOST_LINE_BYTES = 65_536
MOST_HEADERS = 200
MOST_BODY_BYTES = 64 * 1024 * 1024  # an answer about one picture is far smaller


class HttpError(OSError):
    """What came is not HTTP, or it ended early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """Names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpConnection:
    """Opened by the first `post`, and again by one after `close`. For one thread at a time."""

    def __init__(self, url: str, headers: Mapping[str, str], timeout_seconds: float) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._ssl = ssl.create_default_context() if parts.scheme == "https" else None
        lines = [f"POST {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc.rpartition('@')[2]}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._head = "\r\n".join([*lines, "Content-Length: "]).encode("latin-1")
        self._timeout_seconds = timeout_seconds
        self._socket: socket.socket | None = None
        self._reader: IO[bytes] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the next request goes over a connection that was used before."""
        return self._socket is not None

    def post(self, body: bytes) -> HttpAnswer:
        """Raises OSError, HttpError among others; the connection is closed then."""
        try:
            sock, reader = self._open()
            sock.sendall(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))
            return self._answer(reader)
        except BaseException:
            self.close()
            raise

    def interrupt(self) -> None:
        """Have a `post` of another thread fail now."""
        if (sock := self._socket) is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """May be repeated."""
        for thing in (self._reader, self._socket):
            if thing is not None:
                with contextlib.suppress(OSError):
                    thing.close()
        self._socket = self._reader = None

    def _open(self) -> tuple[socket.socket, IO[bytes]]:
        if self._socket is None or self._reader is None:
            port = self._port or (443 if self._ssl else 80)
            sock = socket.create_connection((self._host, port), self._timeout_seconds)
            self._socket = sock  # from here on close() closes it
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._ssl:
                self._socket = sock = self._ssl.wrap_socket(sock, server_hostname=self._host)
            self._reader = sock.makefile("rb")
        return self._socket, self._reader

    def _answer(self, reader: IO[bytes]) -> HttpAnswer:
        status, is_old = _status(reader)
        while 100 <= status < 200:  # `continue`, to which nothing is to be done
            _headers(reader)
            status, is_old = _status(reader)
        headers = _headers(reader)
        body, is_framed = _body(reader, headers)
        wish = headers.get("connection", "").lower()
        if not is_framed or wish == "close" or (is_old and wish != "keep-alive"):
            self.close()
        return HttpAnswer(status=status, headers=headers, body=body)


def _line(reader: IO[bytes]) -> bytes:
    line = reader.readline(MOST_LINE_BYTES)
    if not line.endswith(b"\n"):
        raise HttpError("the connection ended in the middle of an answer's headers")
    return line.rstrip(b"\r\n")


def _status(reader: IO[bytes]) -> tuple[int, bool]:
    """(the status, whether it is HTTP/1.0's)."""
    line = _line(reader)
    version, _, rest = line.partition(b" ")
    number = rest.partition(b" ")[0]
    if not version.startswith(b"HTTP/1.") or len(number) != 3 or not number.isdigit():
        raise HttpError(f"not an answer of HTTP/1.1: {line[:60]!r}")
    return int(number), version == b"HTTP/1.0"


def _headers(reader: IO[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    while line := _line(reader):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
        if len(headers) > MOST_HEADERS:
            raise HttpError(f"an answer with over {MOST_HEADERS} headers")
    return headers


def _body(reader: IO[bytes], headers: Mapping[str, str]) -> tuple[bytes, bool]:
    """(the body, whether its end was marked)."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _chunks(reader), True
    if "content-length" in headers:
        return _exactly(reader, _size(headers["content-length"], 10)), True
    return reader.read(MOST_BODY_BYTES), False


def _chunks(reader: IO[bytes]) -> bytes:
    chunks: list[bytes] = []
    while size := _size(_line(reader).partition(b";")[0].decode("latin-1"), 16):
        chunks.append(_exactly(reader, size))
        _line(reader)
        if sum(map(len, chunks)) > MOST_BODY_BYTES:
            raise HttpError(f"an answer of over {MOST_BODY_BYTES:,} bytes")
    _headers(reader)  # trailers
    return b"".join(chunks)


def _size(text: str, base: int) -> int:
    try:
        size = int(text, base)
    except ValueError:
        size = -1
    if not 0 <= size <= MOST_BODY_BYTES:
        raise HttpError(f"an answer whose length is {text[:40]!r}")
    return size


def _exactly(reader: IO[bytes], size: int) -> bytes:
    data = reader.read(size)
    if len(data) < size:
        raise HttpError(f"an answer ended after {len(data):,} of {size:,} bytes")
    return data
