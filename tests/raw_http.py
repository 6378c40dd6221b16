"""HTTP by hand, for requests that no client library would send."""

import json
import socket
from contextlib import contextmanager
from dataclasses import dataclass

WAIT_SECONDS = 60
PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /invocations HTTP/1.1\r\nHost: x\r\n"


@dataclass(frozen=True)
class Reply:
    """One response as it came."""

    status: int
    head: bytes
    body: bytes

    @property
    def error(self):
        """Our error's name; fails where the body is not ours."""
        value = json.loads(self.body)
        assert set(value) == {"error", "message"}
        return value["error"]

    @property
    def labels(self):
        """The labels of a JSON answer."""
        return [item["label"] for item in json.loads(self.body)["predictions"]]


class Link:
    """A connection that sends what it is told to and reads responses one by one."""

    def __init__(self, port, receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(WAIT_SECONDS)
        self.socket.connect(("127.0.0.1", port))
        self.stream = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def end(self):
        """No more from our side; we still listen."""
        self.socket.shutdown(socket.SHUT_WR)

    def read(self):
        """The next response; None when the server has closed instead."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            try:
                line = self.stream.readline()
            except ConnectionResetError:
                line = b""
            if not line:
                assert not head, head
                return None
            head += line
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        return Reply(int(head.split(b" ")[1]), head, self.stream.read(length))

    def read_all(self):
        """Every response until the server closes."""
        replies = []
        while (reply := self.read()) is not None:
            replies.append(reply)
        return replies

    def close(self):
        self.stream.close()
        self.socket.close()


@contextmanager
def linked(port, **options):
    """A connection for as long as the block runs."""
    link = Link(port, **options)
    try:
        yield link
    finally:
        link.close()


def exchange(port, request):
    """The first response to these bytes; None when there is none."""
    with linked(port) as link:
        link.send(request)
        return link.read()


def post(body, content_type="image/png", headers=b""):
    """A well-formed POST /invocations."""
    kind = content_type.encode("latin-1")
    length = b"Content-Type: %s\r\nContent-Length: %d\r\n" % (kind, len(body))
    return POST + headers + length + b"\r\n" + body


def chunked(data, size=1000):
    """A body in chunks."""
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
