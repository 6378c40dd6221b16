"""Clients that are slow, greedy, confused or lying: each is refused, and nobody else suffers."""

import contextlib
import resource
import socket
import time
from pathlib import Path

import pytest
from raw_http import PING, POST, exchange, linked, post
from serving import WAIT_SECONDS, colour_bundle, picture, server

TRICKLE_SECONDS = 0.2


@pytest.fixture(scope="module")
def running():
    with server(colour_bundle(), {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "1"}) as process:
        yield process


@pytest.fixture(scope="module")
def impatient():
    """Waits a second for a body, and as long between two requests; works on two at a time."""
    environment = {
        "SAGEMAKER_MODEL_SERVER_TIMEOUT": "1",
        "KENNEL_MAX_IN_FLIGHT": "2",
        "GUNICORN_CMD_ARGS": "--keep-alive 1",
    }
    with server(colour_bundle(), environment) as process:
        yield process


@pytest.fixture(autouse=True)
def _unharmed(request):
    """After each test the server is ready and knows its colours."""
    yield
    for name in {"running", "impatient"} & set(request.fixturenames):
        process = request.getfixturevalue(name)
        assert process.get("/ping")[0] == 200
        reply = exchange(process.port, post(picture("green")))
        assert reply.labels == ["green"]


@contextlib.contextmanager
def many(port, count, data=b"", **options):
    """This many connections, each having sent `data`."""
    with contextlib.ExitStack() as stack:
        links = []
        for _ in range(count):
            link = stack.enter_context(linked(port, **options))
            with contextlib.suppress(OSError):  # closed already for the sake of a newer one
                link.send(data)
            links.append(link)
        yield links


@contextlib.contextmanager
def open_files(count):
    """As many descriptors for this process as it may have, if `count` is more than it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        pytest.skip(f"this machine allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def workers_of(process):
    """The ids of gunicorn's workers."""
    pid = process.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(text) for text in children.read_text().split()]


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"G",
        b"GET /ping HTTP/1.1\r\nHost: x\r\nX-A: ",
        PING + b"GET /pi",  # a whole request, and the start of another in the same packet
        post(b"x" * 10)[:-2],
    ],
    ids=["silent", "one byte", "half a head", "a second request", "half a body"],
)
def test_slow_clients_of_any_number_hold_no_thread_that_ping_needs(running, start):
    with many(running.port, 200, start):
        assert exchange(running.port, PING).status == 200


def test_clients_that_do_not_read_their_answers_hold_no_thread_either(running):
    page = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with many(running.port, 100, page * 400, receive_bytes=2048):
        assert exchange(running.port, PING).status == 200


def test_bodies_that_never_come_hold_no_thread_when_they_are_refused_anyway(running):
    nowhere = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    with many(running.port, 200, nowhere) as links:
        assert exchange(running.port, PING).status == 200
        reply = links[0].read()
    assert reply.status == 404
    assert b"\r\nConnection: close\r\n" in reply.head


def test_two_thousand_idle_connections_leave_room_for_another(running):
    with open_files(4000), many(running.port, 2000):
        assert exchange(running.port, PING).status == 200
        assert exchange(running.port, post(picture("red"))).labels == ["red"]


def test_a_server_without_file_descriptors_closes_idle_connections_for_new_ones():
    with server(colour_bundle()) as process:
        (worker,) = workers_of(process)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (100, 100))
        with many(process.port, 300):
            assert exchange(process.port, PING).status == 200
        assert workers_of(process) == [worker]


def test_headers_that_do_not_end_are_408_after_a_while(impatient):
    with linked(impatient.port) as link:
        link.send(b"GET /ping HTTP/1.1\r\nX-A: ")
        reply = link.read()
        assert (reply.status, reply.error) == (408, "RequestTimeout")
        assert link.read() is None


def test_a_silent_connection_is_closed_after_a_while(impatient):
    with linked(impatient.port) as link:
        assert link.read() is None


def test_a_body_that_trickles_is_408_however_steadily(impatient):
    """Both places for requests are taken by such clients, and free again without their help."""
    head = POST + b"Content-Length: 100000\r\n\r\n"
    with linked(impatient.port) as one, linked(impatient.port) as two:
        one.send(head)
        two.send(head)
        for _ in range(int(WAIT_SECONDS / TRICKLE_SECONDS)):
            try:
                for link in (one, two):
                    link.send(b"x")
            except OSError:
                break
            one.socket.settimeout(TRICKLE_SECONDS)
            with contextlib.suppress(TimeoutError):
                if one.socket.recv(1, socket.MSG_PEEK):
                    break
        else:
            raise AssertionError("it was never refused")
        one.socket.settimeout(WAIT_SECONDS)
        reply = one.read()
    assert (reply.status, reply.error) == (408, "RequestTimeout")


def test_a_half_closed_client_is_still_answered(running):
    with linked(running.port) as link:
        link.send(post(picture("blue")))
        link.end()
        assert link.read().labels == ["blue"]
        assert link.read() is None


@pytest.mark.parametrize("start", [b"", b"\r\n", b"GET /pi", b"GET /ping HTTP/1.1\r\nHost: x\r\n"])
def test_a_client_that_ends_within_its_headers_is_just_closed(running, start):
    with linked(running.port) as link:
        link.send(start)
        link.end()
        assert link.read() is None


def test_resets_at_any_moment_harm_nobody(running):
    request = post(picture("red"))
    for cut in (0, 1, 30, 60, 100, len(request) - 1, len(request)):
        with linked(running.port) as link:
            link.send(request[:cut])
            # Closing becomes a reset.
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def test_no_traceback_was_logged_for_all_of_this(running, impatient):
    """Last in this file: what strangers send is no fault of the server's."""
    time.sleep(0.1)
    assert "Traceback" not in running.log() + impatient.log()
