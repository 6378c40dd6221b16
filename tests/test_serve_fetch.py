import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from serving import client_for, colour_bundle, picture

from contract.errors import RequestError, SpecError
from serve.fetch import Fetcher, _is_public
from serve.settings import ServeSettings

PICTURE = picture("green")


class Pictures(BaseHTTPRequestHandler):
    """A real web server with good and bad habits."""

    def do_GET(self):
        if self.path == "/green.png?size=1":
            self.answer(200, PICTURE)
        elif self.path.startswith("/to:"):
            self.answer(302, b"", {"Location": self.path[4:]})
        elif self.path == "/loop":
            self.answer(302, b"", {"Location": "/loop"})
        elif self.path == "/big":
            self.answer(200, b"x" * 1_100_000)
        elif self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            self.server.let_go.wait(30)
        else:
            self.answer(404, b"")

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@contextmanager
def pictures() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pictures)
    server.let_go = threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.let_go.set()
        server.shutdown()
        thread.join(30)
        server.server_close()


def refusal(hosts, url, **settings):
    with pytest.raises(RequestError) as caught:
        Fetcher(ServeSettings(url_hosts=hosts, **settings)).fetch(url)
    return caught.value


def test_a_picture_of_a_listed_host_is_fetched_and_classified():
    with pictures() as port:
        client = client_for(colour_bundle(), url_hosts=f"example.org, 127.0.0.1:{port}")
        url = f"http://127.0.0.1:{port}/green.png?size=1"
        one = client.post("/invocations", json={"url": url})
        two = client.post("/invocations", json={"instances": [{"url": url}, {"url": url}]})
    assert [item["label"] for item in one.get_json()["predictions"]] == ["green"]
    assert len(two.get_json()["predictions"]) == 2


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a.png",
        "http://localhost/a.png",
        "http://169.254.169.254/latest/meta-data/",
        "http://example.org.evil.net/",
        "http://example.org:8081/",
        "http://example.org@evil.net/",
        "http://user:pass@example.org/",
        "file:///etc/passwd",
        "ftp://example.org/a",
        "//example.org/a",
        "http://[::1]/",
        "http://[",
        "http://example.org:port/",
    ],
)
def test_everything_but_the_listed_host_is_refused(url):
    assert refusal("example.org", url).status == 422


def test_a_redirect_is_followed_on_the_same_host_only():
    with pictures() as port:
        hosts, base = f"127.0.0.1:{port},localhost:{port}", f"http://127.0.0.1:{port}"
        fetched = Fetcher(ServeSettings(url_hosts=hosts)).fetch(f"{base}/to:/green.png?size=1")
        other = refusal(hosts, f"{base}/to:http://localhost:{port}/green.png?size=1")
        unlisted = refusal(hosts, f"{base}/to:http://169.254.169.254/")
        loop = refusal(hosts, f"{base}/loop")
    assert fetched == PICTURE
    assert "another host" in other.message
    assert "operator listed" in unlisted.message
    assert "redirects" in loop.message


def test_size_time_status_and_silence_have_limits():
    with pictures() as port:
        hosts, base = f"127.0.0.1:{port}", f"http://127.0.0.1:{port}"
        big = refusal(hosts, f"{base}/big", max_payload_mib=1)
        slow = refusal(hosts, f"{base}/slow", url_timeout_seconds=1)
        missing = refusal(hosts, f"{base}/missing")
    closed = refusal(hosts, f"{base}/green.png")
    assert (big.status, slow.status, missing.status, closed.status) == (413, 422, 422, 422)
    assert "1,048,576" in big.message
    assert "status 404" in missing.message


def test_a_wildcard_never_reaches_a_private_address():
    """nothing.localhost resolves to this machine, as a hostile name server would have it."""
    with pictures() as port:
        error = refusal(f"*.localhost:{port}", f"http://nothing.localhost:{port}/green.png?size=1")
    assert error.status == 422


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("10.0.0.1", False),
        ("169.254.169.254", False),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("::ffff:10.0.0.1", False),
    ],
)
def test_private_addresses_are_known(address, expected):
    assert _is_public(address) is expected


@pytest.mark.parametrize("hosts", ["https://example.org", "example.org/x", "*", "a.*.org", "a b"])
def test_a_malformed_host_list_is_refused_at_start(hosts):
    with pytest.raises(SpecError, match="KENNEL_URL_HOSTS"):
        Fetcher(ServeSettings(url_hosts=hosts))
