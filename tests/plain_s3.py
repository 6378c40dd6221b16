"""A server that speaks as much of S3 as staging needs, and not always well: for real boto3."""

import contextlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "photos"


@dataclass(frozen=True, kw_only=True)
class Thing:
    """An object of zeros, which may be larger than any disk."""

    num_bytes: int  # as listed
    etag: str = "not-an-md5"
    knows_ranges: bool = True
    more_bytes: int = 0  # than were asked for; negative for fewer


@dataclass(frozen=True, kw_only=True)
class PlainS3:
    """Running; `things` may be changed."""

    url: str
    things: dict[str, Thing] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextlib.contextmanager
def plain_s3() -> Iterator[PlainS3]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        running = PlainS3(url=f"http://127.0.0.1:{server.server_address[1]}")
        server.things = running.things  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """HTTP 1.0: what ends the body is the end of the connection, nothing says how long it is."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        if "list-type" in query:
            self._list(query["prefix"][0])
        else:
            self._send(self.server.things[unquote(parts.path).removeprefix(f"/{BUCKET}/")])

    def log_message(self, *words: object) -> None:
        pass

    def _list(self, prefix: str) -> None:
        items = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{thing.num_bytes}</Size>"
            f"<ETag>&quot;{thing.etag}&quot;</ETag></Contents>"
            for key, thing in sorted(self.server.things.items())
            if key.startswith(prefix)
        )
        self.send_response(200)
        self.end_headers()
        text = f"<ListBucketResult><IsTruncated>false</IsTruncated>{items}</ListBucketResult>"
        self.wfile.write(text.encode())

    def _send(self, thing: Thing) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, end = 0, thing.num_bytes
        if asked and thing.knows_ranges:
            start, end = int(asked[1]), int(asked[2]) + 1
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{thing.num_bytes}")
        else:
            self.send_response(200)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # who does not want it hangs up
            self.wfile.write(bytes(min(end - start + thing.more_bytes, 1 << 26)))
