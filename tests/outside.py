"""A stand-in for everything beyond this machine: it notes who calls, and answers nobody."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Calls:
    """Set `url` as the HTTP proxy and as the endpoint of AWS."""

    url: str
    seen: list[str] = field(default_factory=list)  # the first line of each call


@contextmanager
def outside() -> Iterator[Calls]:
    """Listen on a free port of 127.0.0.1 until the block ends."""

    class Note(socketserver.StreamRequestHandler):
        timeout = 5

        def handle(self) -> None:
            calls.seen.append(self.rfile.readline(1000).decode(errors="replace").strip())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Note) as server:
        server.daemon_threads = True
        calls = Calls(url=f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield calls
        server.shutdown()
