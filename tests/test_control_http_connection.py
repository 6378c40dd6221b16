"""One connection against a socket that answers word for word what a server may answer."""

import socket
import threading
from contextlib import contextmanager

import pytest

from control.http_connection import HttpAnswer, HttpConnection, HttpError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def answering(*scripts, close=True):
    """Yields a connection to a server that sends one script a request, and what it was sent.

    A script of None closes the connection, and the next one is for a new one.
    """
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run():
            peer = None
            for script in scripts:
                if peer is None:
                    peer, _ = listener.accept()
                    peer.settimeout(10)
                if script is None:
                    peer.close()
                    peer = None
                    continue
                seen.append(read_request(peer))
                peer.sendall(script)
            if peer is not None and close:
                peer.close()

        thread = threading.Thread(target=run)
        thread.start()
        port = listener.getsockname()[1]
        connection = HttpConnection(f"http://127.0.0.1:{port}/path", {"Accept": "x"}, 10.0)
        try:
            yield connection, seen
        finally:
            connection.close()
            thread.join(timeout=10)


def read_request(peer):
    data = b""
    while b"\r\n\r\n" not in data:
        data += peer.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    size = int(dict(line.split(b": ") for line in head.split(b"\r\n")[1:])[b"Content-Length"])
    while len(body) < size:
        body += peer.recv(65536)
    return head, body


def test_one_connection_carries_many_requests():
    with answering(OK, OK, OK) as (connection, seen):
        assert not connection.is_open
        answers = [connection.post(body) for body in (b"a", b"", b"x" * 3_000_000)]
        assert connection.is_open
    assert answers == [HttpAnswer(status=200, headers={"content-length": "2"}, body=b"ok")] * 3
    assert [len(body) for _, body in seen] == [1, 0, 3_000_000]
    head = seen[0][0].split(b"\r\n")
    assert head[0] == b"POST /path HTTP/1.1"
    assert head[1].startswith(b"Host: 127.0.0.1:")


@pytest.mark.parametrize(
    ("script", "status", "body", "stays_open"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok", True),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n",
            200,
            b"abc0123456789",
            True,
        ),
        (b"HTTP/1.1 404 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 404, b"", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1", 200, b"1", False),
        (b"HTTP/1.1 502 Bad\nServer: odd\n\n<html>", 502, b"<html>", False),
    ],
)
def test_every_way_to_end_a_body_is_understood(script, status, body, stays_open):
    with answering(script) as (connection, _):
        answer = connection.post(b"a")
        assert (answer.status, answer.body, connection.is_open) == (status, body, stays_open)


@pytest.mark.parametrize(
    "script",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 20\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A%d: b\r\n" * 300 % tuple(range(300)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_an_error_and_closes_the_connection(script):
    with answering(script) as (connection, _):
        with pytest.raises(HttpError):
            connection.post(b"a")
        assert not connection.is_open


def test_after_an_error_the_next_request_opens_a_new_connection():
    with answering(OK, b"junk\n", None, OK) as (connection, seen):
        connection.post(b"a")
        with pytest.raises(HttpError):
            connection.post(b"b")
        assert connection.post(b"c").status == 200
    assert [body for _, body in seen] == [b"a", b"b", b"c"]


def test_an_interrupt_ends_a_wait_of_another_thread():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection = HttpConnection(f"http://127.0.0.1:{silent.getsockname()[1]}", {}, 30.0)
        failed = []

        def wait():
            try:
                connection.post(b"a")
            except OSError as error:
                failed.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        peer, _ = silent.accept()
        with peer:
            peer.recv(1)
            connection.interrupt()
            thread.join(timeout=10)
    assert len(failed) == 1
