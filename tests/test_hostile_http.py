"""HTTP that is malformed, ambiguous or merely odd: understood as the standard says, or refused."""

import contextlib
import socket
import ssl

import pytest
from raw_http import PING, POST, chunked, exchange, linked, post
from serving import WAIT_SECONDS, colour_bundle, picture, server


@pytest.fixture(scope="module")
def running():
    with server(colour_bundle(), {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "1"}) as process:
        yield process


@pytest.fixture(autouse=True)
def _unharmed(running):
    """After each test the server is ready and knows its colours."""
    yield
    assert running.get("/ping")[0] == 200
    assert exchange(running.port, post(picture("green"))).labels == ["green"]


def test_requests_in_one_packet_are_answered_in_order(running):
    colours = ["red", "green", "blue"] * 10
    lost = b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n"
    with linked(running.port) as link:
        link.send(b"".join(PING + post(picture(name)) + lost for name in colours))
        for name in colours:
            assert link.read().status == 200
            assert link.read().labels == [name]
            assert link.read().status == 404


def test_a_request_may_come_one_byte_at_a_time(running):
    with linked(running.port) as link:
        link.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post(picture("red", size=(8, 8)), headers=b"X-A: 1\r\n"):
            link.send(bytes([byte]))
        assert link.read().labels == ["red"]


def test_ten_thousand_header_bytes_are_read_and_a_flood_is_refused(running):
    several = b"".join(b"X-%d: %s\r\n" % (i, b"a" * 990) for i in range(10))
    assert exchange(running.port, PING[:-2] + several + b"\r\n").status == 200
    for flood in (
        b"X-A: " + b"a" * 10_000 + b"\r\n",
        b"".join(b"X-%d: 1\r\n" % i for i in range(200)),
        b"X-A: 1\r\n" * 30_000,
    ):
        with linked(running.port) as link:
            with contextlib.suppress(OSError):
                link.send(PING[:-2] + flood + b"\r\n")
            reply = link.read()
            assert (reply.status, reply.error) == (431, "RequestHeaderFieldsTooLarge")
            assert link.read() is None


def test_headers_without_an_end_are_refused_while_they_come(running):
    with linked(running.port) as link:
        with contextlib.suppress(OSError):
            for _ in range(1000):
                link.send(b"X-A: " + b"a" * 1000 + b"\r\n" if _ else PING[:-2])
        assert link.read().status == 431


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"-1\r\n\r\n",
        b"0x5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5_0\r\nhello\r\n",
        b"\r\n\r\n",
        b"G\r\n",
        b"3\r\nhello\r\n0\r\n\r\n",
        b"5;a=\x00\r\nhello\r\n0\r\n\r\n",
        b"5;" + b"a" * 100_000,
        b"5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n",
        b"0\r\n" + b"X-A: 1\r\n" * 200_000,
    ],
)
def test_malformed_chunks_are_400_and_end_the_connection(running, body):
    with linked(running.port) as link:
        with contextlib.suppress(OSError):
            link.send(CHUNKED + body)
        reply = link.read()
        assert (reply.status, reply.error) == (400, "BadRequest")
        assert link.read() is None


def test_a_chunk_that_claims_more_than_the_universe_is_refused(running):
    with linked(running.port) as link:
        link.send(CHUNKED + b"f" * 60 + b"\r\n" + b"x" * 100)
        link.end()
        assert link.read().status == 400
    with linked(running.port) as link:
        with contextlib.suppress(OSError):
            link.send(CHUNKED + b"f" * 60 + b"\r\n" + b"x" * 2_000_000)
        reply = link.read()
        assert (reply.status, reply.error) == (413, "RequestEntityTooLarge")


def test_a_picture_in_chunks_of_one_byte_is_read(running):
    request = CHUNKED + chunked(picture("blue"), 1)
    assert exchange(running.port, request).labels == ["blue"]


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: chunked\r\n Content-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 60\r\n",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5 5\r\n",
        b"Content-Length: \xb2\r\n",
        b"Content-Length: five\r\n",
        b"Content-Length:\r\n",
        b"Content_Length: 5\r\nContent-Length: x\r\n",
    ],
)
def test_a_second_request_cannot_be_smuggled_into_the_body_of_a_first(running, lines):
    """One refusal, then the end: nothing after an unclear length is taken for a request."""
    with linked(running.port) as link:
        link.send(POST + lines + b"\r\n0\r\n\r\n" + PING)
        (reply,) = link.read_all()
        assert (reply.status, reply.error) == (400, "BadRequest")


def test_an_unknown_coding_is_501_and_ends_the_connection(running):
    with linked(running.port) as link:
        link.send(POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + PING)
        (reply,) = link.read_all()
        assert (reply.status, reply.error) == (501, "NotImplemented")


@pytest.mark.parametrize("claim", [b"1000", b"100000000", b"9" * 40, b"9" * 5000])
def test_a_length_that_is_not_kept_is_refused(running, claim):
    with linked(running.port) as link:
        link.send(POST + b"Content-Length: " + claim + b"\r\n\r\n" + picture()[:50])
        link.end()
        (reply,) = link.read_all()
        assert (reply.status, reply.error) in (
            (400, "BadRequest"),
            (413, "RequestEntityTooLarge"),
        )


def test_bytes_beyond_the_length_are_no_part_of_the_picture(running):
    with linked(running.port) as link:
        link.send(post(picture("red")) + b"GARBAGE\r\n\r\n")
        first, second = link.read_all()
        assert first.labels == ["red"]
        assert (second.status, second.error) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET http://elsewhere.example/ping HTTP/1.1", 200),  # absolute form: RFC 9112 3.2.2
        (b"GET https://user:word@x/ping HTTP/1.1", 200),
        (b"GET http://x HTTP/1.1", 200),  # the page: an empty path is /
        (b"GET file:///etc/passwd HTTP/1.1", 404),
        (b"GET //etc/passwd HTTP/1.1", 404),
        (b"GET /../../etc/passwd HTTP/1.1", 404),
        (b"GET /ping%00 HTTP/1.1", 404),
        (b"GET /%2e%2e/ping HTTP/1.1", 404),
        (b"GET /ping?%00=%ff HTTP/1.1", 200),
        (b"GET /%ff%fe HTTP/1.1", 404),
        (b"GET /\x00 HTTP/1.1", 400),
        (b"GET /\xe9 HTTP/1.1", 400),
        (b"GET  /ping HTTP/1.1", 400),
        (b"GET /ping HTTP/1.1 ", 400),
        (b"GET /ping HTTP/2.0", 400),
        (b"GET /ping HTTP/0.9", 400),
        (b"GET /ping http/1.1", 400),
        (b"GET /ping", 400),  # HTTP/0.9
        (b"GET", 400),
        (b"get /ping HTTP/1.1", 400),
        (b"CONNECT 169.254.169.254:80 HTTP/1.1", 404),
        (b"OPTIONS * HTTP/1.1", 404),
        (b"TRACE /ping HTTP/1.1", 405),
        (b"PRI * HTTP/2.0\r\n\r\nSM", 400),
        (b"\x00\x01\x02", 400),
        (b"SSH-2.0-OpenSSH_9.6", 400),
        (b"A" * 70_000, 414),
    ],
)
def test_odd_request_lines_are_understood_or_refused_in_json(running, request_line, status):
    reply = exchange(running.port, request_line + b"\r\nHost: x\r\n\r\n")
    assert reply.status == status
    if status != 200:
        assert reply.error


@pytest.mark.parametrize(
    "line",
    [b"X-A: \x00", b"X A: 1", b": 1", b"X-A", b"X-A: 1\nX-B: 2", b"Host: y", b"X\xe9: 1"],
)
def test_odd_header_lines_are_400(running, line):
    reply = exchange(running.port, PING[:-2] + line + b"\r\n\r\n")
    assert (reply.status, reply.error) == (400, "BadRequest")


def test_a_tls_client_on_the_plain_port_is_told_at_once(running):
    context = ssl.create_default_context()
    with (
        socket.create_connection(("127.0.0.1", running.port), timeout=WAIT_SECONDS) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain, server_hostname="localhost")


def test_no_traceback_was_logged_for_all_of_this(running):
    """Last in this file: what strangers send is no fault of the server's."""
    assert "Traceback" not in running.log()
