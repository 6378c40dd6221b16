"""Fetch: the picture behind a `url`, from hosts that the operator listed and from no other."""

import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from contract.errors import RequestError, SpecError
from serve.settings import ServeSettings

MAX_REDIRECTS = 3
PORTS = {"http": 80, "https": 443}
HEADERS = {"Accept": "image/*", "Connection": "close", "User-Agent": "kennel"}
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
UNICAST = ipaddress.ip_network("2000::/3")  # all that is allocated of IPv6
SPECIAL = ipaddress.ip_network("192.0.0.0/24")  # some clouds' metadata; Python calls it global
_CHUNK_BYTES = 64 * 1024
_ENTRY = re.compile(r"(?P<name>(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """One entry of KENNEL_URL_HOSTS."""

    pattern: str  # `host`, or `*.domain` for any host below it
    port: int | None  # None: the scheme's own port only

    @classmethod
    def parse(cls, text: str) -> "AllowedHost":
        """From `host`, `host:port` or `*.domain`. Raises SpecError."""
        match = _ENTRY.fullmatch(text.strip().lower())
        if match is None:
            raise SpecError(
                "environment variable KENNEL_URL_HOSTS: expected host, host:port or *.domain, "
                f"got {text.strip()[:100]!r}; write no scheme and no path"
            )
        return cls(match["name"], int(match["port"]) if match["port"] else None)

    @property
    def is_exact(self) -> bool:
        """The operator wrote this very host, so a private address of it is meant."""
        return "*" not in self.pattern

    def matches(self, host: str, port: int, default_port: int) -> bool:
        """True when a request may go there."""
        if port != (self.port if self.port is not None else default_port):
            return False
        if self.is_exact:
            return host == self.pattern
        return host.endswith(self.pattern[1:])


class Fetcher:
    """Downloads pictures within limits on bytes and seconds."""

    def __init__(self, settings: ServeSettings) -> None:
        self._hosts = [
            AllowedHost.parse(text) for text in settings.url_hosts.split(",") if text.strip()
        ]
        self._max_bytes = settings.max_body_bytes
        self._timeout_seconds = settings.url_timeout_seconds

    def fetch(self, url: str) -> bytes:
        """Raises RequestError: 422 for an address refused or unusable, 413 for a body too large."""
        deadline = time.monotonic() + self._timeout_seconds
        first = self._parse(url)
        current = first
        for _ in range(MAX_REDIRECTS + 1):
            try:
                status, location, body = self._get(current, deadline)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise RequestError(
                    422, f"url: {current.hostname} cannot be fetched from: {_line(error)}"
                ) from None
            if status == 200:
                return body
            if status not in (301, 302, 303, 307, 308) or not location:
                raise RequestError(422, f"url: {current.hostname} answered status {status}")
            current = self._parse(urljoin(current.geturl(), location))
            if current.hostname != first.hostname:
                raise RequestError(
                    422, f"url: {first.hostname} redirects to another host, which is not followed"
                )
        raise RequestError(422, f"url: more than {MAX_REDIRECTS} redirects")

    def _parse(self, url: str) -> SplitResult:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise RequestError(422, "url: not an address that we understand") from None
        if parts.scheme not in PORTS or not parts.hostname or parts.username is not None:
            raise RequestError(422, "url: expected http:// or https:// and a host, no user name")
        if self._rule(parts) is None:
            shown = f"{parts.hostname}:{port}" if port else parts.hostname
            raise RequestError(
                422, f"url: host {shown[:100]!r} is not one that this endpoint's operator listed"
            )
        return parts

    def _rule(self, parts: SplitResult) -> AllowedHost | None:
        host, default_port = parts.hostname or "", PORTS[parts.scheme]
        matching = [
            rule
            for rule in self._hosts
            if rule.matches(host, parts.port or default_port, default_port)
        ]
        return max(matching, key=lambda rule: rule.is_exact, default=None)

    def _get(self, parts: SplitResult, deadline: float) -> tuple[int, str | None, bytes]:
        """Status, Location and body of one GET."""
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        address = self._resolve(parts, host, port)
        with ExitStack() as stack:
            sock = stack.enter_context(
                socket.create_connection((address, port), timeout=_remaining(deadline))
            )
            stack.enter_context(_cut_off(sock, _remaining(deadline)))
            if parts.scheme == "https":
                context = ssl.create_default_context()
                sock = stack.enter_context(context.wrap_socket(sock, server_hostname=host))
            # Connected by address: a second look-up cannot answer other than the checked one.
            connection = http.client.HTTPConnection(host, port)
            connection.sock = sock
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", path, headers={"Host": parts.netloc, **HEADERS})
            response = stack.enter_context(closing(connection.getresponse()))
            if response.status != 200:
                return response.status, response.getheader("Location"), b""
            return 200, None, self._read(response, sock, deadline)

    def _resolve(self, parts: SplitResult, host: str, port: int) -> str:
        """One address of the host. A private one counts only where the host itself is listed."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(item[4][0]) for item in found]
        rule = self._rule(parts)
        if rule is None or not rule.is_exact:
            addresses = [text for text in addresses if _is_public(text)]
        if not addresses:
            raise RequestError(422, f"url: {host[:100]!r} has no public address")
        return addresses[0]

    def _read(
        self, response: http.client.HTTPResponse, sock: socket.socket, deadline: float
    ) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            sock.settimeout(_remaining(deadline))
            chunk = response.read1(_CHUNK_BYTES)
            if not chunk:
                break
            size += len(chunk)
            if size > self._max_bytes:
                raise RequestError(
                    413, f"url: the answer has over {self._max_bytes:,} bytes: the limit"
                )
            chunks.append(chunk)
        _remaining(deadline)  # an answer that was cut off looks like one that has ended
        return b"".join(chunks)


def _is_public(address: str) -> bool:
    """True for what anybody on the internet can reach; also told of the IPv4 inside an IPv6."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped
        if inner is None and ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is None:
            is_tunnel = ip.sixtofour is not None or ip.teredo is not None
            return ip in UNICAST and ip.is_global and not is_tunnel
        ip = inner
    return ip.is_global and not ip.is_multicast and ip not in SPECIAL


@contextmanager
def _cut_off(sock: socket.socket, seconds: float) -> Iterator[None]:
    """Hang up when the time is over: with a limit for each read, headers might trickle for ever."""
    with sock.dup() as handle:  # TLS takes the descriptor of the other one
        timer = threading.Timer(seconds, _hang_up, (handle,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _hang_up(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _remaining(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("it took too long")
    return seconds


def _line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
