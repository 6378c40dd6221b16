"""Patience with a server: busy, failing, gone, hopeless."""

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from contract.errors import HostError, InterruptedJobError, RequestError
from control.picture_client import PictureClient


class Handler(BaseHTTPRequestHandler):
    """Answers the statuses of the server's script in turn, then 200; 0 breaks the connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer(200)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((body, self.headers["Content-Type"], self.client_address))
        self._answer(self.server.script.pop(0) if self.server.script else 200)

    def _answer(self, status):
        if status == 0:
            self.close_connection = True
            return
        body = b'{"error": "Told", "message": "told %d"}' % status
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status >= 500:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        """Quiet."""


@contextmanager
def client(*script, connections=1):
    """A client of a server with a script; `asked` is what came."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.script, server.asked = list(script), []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/"
    asking = PictureClient(url, connections, "image/jpeg")
    asking.asked = server.asked
    try:
        yield asking
    finally:
        asking.close()
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()


def test_pictures_go_over_one_connection_as_the_given_type():
    with client() as asking:
        for picture in (b"one", b"two", b"three"):
            assert asking.ask(picture).startswith(b"{")
        bodies, types, peers = zip(*asking.asked, strict=True)
    assert bodies == (b"one", b"two", b"three")
    assert set(types) == {"image/jpeg"}
    assert len(set(peers)) == 1


def test_a_busy_server_is_asked_again():
    with client(503, 503, 503, 503) as asking:
        asking.ask(b"picture")
        assert len(asking.asked) == 5


def test_a_failure_that_may_pass_is_tried_three_times():
    with client(504, 500) as asking:
        asking.ask(b"picture")
    with client(500, 500, 500) as asking, pytest.raises(RequestError, match="told 500") as caught:
        asking.ask(b"picture")
    assert caught.value.status == 500


def test_a_refused_picture_is_asked_about_once():
    with client(400) as asking:
        with pytest.raises(RequestError, match="told 400"):
            asking.ask(b"picture")
        assert len(asking.asked) == 1


@pytest.mark.parametrize("status", [401, 404, 406, 415])
def test_what_no_picture_can_change_stops_everything(status):
    with client(status) as asking, pytest.raises(HostError, match="refuses all pictures: told"):
        asking.ask(b"picture")


def test_a_broken_connection_is_made_anew():
    with client(200, 0, 0, 200) as asking:
        asking.ask(b"one")
        asking.ask(b"two")
    assert [body for body, *_ in asking.asked] == [b"one", b"two", b"two", b"two"]


def test_a_picture_that_always_breaks_it_is_refused():
    with client(0, 0, 0) as asking, pytest.raises(RequestError, match="broke the connection 3"):
        asking.ask(b"poison")


def test_stop_ends_a_pause_and_every_later_question():
    with client(429, 429) as asking:
        timer = threading.Timer(0.2, asking.stop)
        timer.start()
        started = time.monotonic()
        with pytest.raises(InterruptedJobError):
            asking.ask(b"picture")
        with pytest.raises(InterruptedJobError):
            asking.ask(b"picture")
        timer.join(timeout=10)
    assert time.monotonic() - started < 10
