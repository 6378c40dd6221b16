"""Wire: how the server and a model's own process talk: messages of a JSON head and a body."""

import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

_SIZES = struct.Struct(">QQ")  # bytes of the head, bytes of the body
_CHUNK_BYTES = 1024 * 1024


def send(link: socket.socket, head: Mapping[str, Any], body: bytes = b"") -> None:
    """One message. Raises OSError when the other side is gone, TimeoutError when it is stuck."""
    encoded = json.dumps(head).encode()
    link.sendall(_SIZES.pack(len(encoded), len(body)) + encoded)
    link.sendall(body)


def receive(link: socket.socket) -> tuple[dict[str, Any], bytes]:
    """The next message. Raises EOFError when the other side has ended, TimeoutError when late."""
    head_bytes, body_bytes = _SIZES.unpack(_read(link, _SIZES.size))
    head: dict[str, Any] = json.loads(_read(link, head_bytes))
    return head, _read(link, body_bytes)


def _read(link: socket.socket, num_bytes: int) -> bytes:
    parts: list[bytes] = []
    while num_bytes > 0:
        try:
            part = link.recv(min(num_bytes, _CHUNK_BYTES))
        except ConnectionError:
            part = b""
        if not part:
            raise EOFError("the other side has ended")
        parts.append(part)
        num_bytes -= len(part)
    return b"".join(parts)
