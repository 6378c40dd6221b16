"""Names, addresses and archives that want to lead elsewhere, and bytes that want to be run."""

import io
import json
import pickle
import re
import shutil
import socket
import tarfile
import threading
from contextlib import contextmanager

import pytest
from multi_model import Multi
from raw_http import linked
from serving import colour_bundle, server

from contract.errors import BundleError, DataError, RequestError
from contract.model_archive import unpack_model
from serve.fetch import Fetcher, _is_public
from serve.settings import ServeSettings
from train.archive import unpack

METADATA = "169.254.169.254"


def refusal(hosts, url, **settings):
    with pytest.raises(RequestError) as caught:
        Fetcher(ServeSettings(url_hosts=hosts, **settings)).fetch(url)
    assert caught.value.status == 422
    return caught.value.message


@pytest.mark.parametrize(
    "host",
    [
        METADATA, "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "127.1",
        "0", "0x7f.1", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[fd00:ec2::254]",
        "[::]", "[64:ff9b::a9fe:a9fe]", "localhost", "example.org.", "example.org%2eevil.net",
        "example.org%00.evil.net", "evil.net#example.org", "evil.net?example.org",
        "evil.net\\@example.org", "example.org\\.evil.net", "example.org@evil.net",
        "example.org:80@evil.net", "user@example.org", ":word@example.org", "@example.org",
        "evil.net\t.example.org.evil.net", "xexample.org", "example.org.evil.net", "example.net",
        "evil.net/.example.net", "\u24d4xample.org", "ex\u00e4mple.org", "example\u3002org", "",
    ],
)  # fmt: skip
def test_no_spelling_of_another_host_passes_for_a_listed_one(host):
    message = refusal("example.org,*.example.net", f"http://{host}/a.png")
    assert message.startswith("url: ")
    assert "\n" not in message


@pytest.mark.parametrize("scheme", ["file", "gopher", "dict", "ftp", "data", "ldap", "unix", "jar"])
def test_no_other_scheme_is_fetched(scheme):
    refusal("example.org", f"{scheme}://example.org/etc/passwd")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("64:ff9b::8.8.8.8", True),  # NAT64: what an IPv6-only network calls an IPv4 host
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b:1::a9fe:a9fe", False),
        ("2002:a9fe:a9fe::1", False),
        ("2001:0:a9fe:a9fe::1", False),
        ("::a9fe:a9fe", False),
        ("::ffff:0:a9fe:a9fe", False),
        ("::ffff:8.8.8.8", True),
        ("fec0::1", False),
        ("fd00:ec2::254", False),
        ("5f00::1", False),
        ("192.0.0.192", False),
        ("198.18.0.1", False),
        ("255.255.255.255", False),
    ],
)
def test_private_addresses_are_known_in_every_wrapping(address, expected):
    assert _is_public(address) is expected


class Answers:
    """A web server that sends the same bytes to everybody, and then a byte now and then."""

    def __init__(self, data):
        self.data, self.requests, self.over = data, [], threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)

    def _serve(self):
        while not self.over.is_set():
            link, _ = self.listener.accept()
            with link:
                self.requests.append(link.recv(4096))
                try:
                    link.sendall(self.data)
                    while self.requests[-1] and not self.over.wait(0.1):
                        link.sendall(b"a")
                except OSError:
                    pass


@contextmanager
def answering(data):
    running = Answers(data)
    running.thread.start()
    try:
        yield running
    finally:
        running.over.set()
        socket.create_connection(("127.0.0.1", running.port)).close()
        running.thread.join(30)
        running.listener.close()


@pytest.mark.parametrize(
    "location",
    [
        f"http://{METADATA}/latest/meta-data/", f"//{METADATA}/", f"\\\\{METADATA}\\", "file:///etc",
        "gopher://127.0.0.1:6379/_FLUSHALL", "http://127.0.0.1:1/", "http://[::1]/",
        f"http://127.0.0.1@{METADATA}/",
    ],
)  # fmt: skip
def test_a_redirect_leads_to_no_other_place(location):
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    with answering(head.encode()) as running:
        here = f"127.0.0.1:{running.port}"
        message = refusal(here, f"http://{here}/a.png")
        asked = [request for request in running.requests if request]
    # Backslashes are no slashes: that one is a path of the same host, again and again.
    assert re.search("not followed|operator listed|expected http|redirects", message)
    assert len(asked) == (4 if "\\" in location else 1)


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n", b"H"])
def test_an_answer_that_trickles_is_cut_off(start):
    with answering(start) as running:
        here = f"127.0.0.1:{running.port}"
        refusal(here, f"http://{here}/a.png", url_timeout_seconds=1)


def test_the_address_that_was_checked_is_the_one_that_is_used(monkeypatch):
    """A hostile name server: public at the first question, this machine at every other."""
    look_up, asked, used = socket.getaddrinfo, [], []

    def changing(host, port, *arguments, **options):
        asked.append(host)
        address = "127.0.0.1" if len(asked) > 1 else "8.8.8.8"
        return look_up(address, port, *arguments, **options)

    def connect(address, **_options):
        used.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    monkeypatch.setattr(socket, "create_connection", connect)
    refusal("*.example.org", "http://a.example.org/")
    assert (asked, used) == (["a.example.org"], [("8.8.8.8", 80)])


def test_a_line_break_in_an_address_adds_no_header():
    with answering(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n") as running:
        here = f"127.0.0.1:{running.port}"
        for path in ("a\r\nX-A: 1", "a%0d%0aX-A: 1", "a b", "a?\r\nX-A: 1", "a\x00"):
            refusal(here, f"http://{here}/{path}")
    assert not any(b"\nX-A" in request for request in running.requests)


PATHS = (
    "..", "../..", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd",
    "%2fetc%2fpasswd", "/etc/passwd", "..%5c..%5cetc", "%00", "a%00b", "%252e%252e", "%ff%fe",
    "%c0%ae%c0%ae/", "....//", "~root", "C:%5c", "%e2%80%ae", "%0d%0aX-A:%201", "model/../../x",
)  # fmt: skip


def test_no_path_of_a_model_leads_to_a_file():
    multi = {"SAGEMAKER_MULTI_MODEL": "true", "KENNEL_MODELS_DIR": str(colour_bundle().parent)}
    with server(None, multi) as process, linked(process.port) as link:
        for path in PATHS:
            for method, end in (("GET", ""), ("DELETE", ""), ("POST", "/invoke")):
                line = f"{method} /models/{path}{end} HTTP/1.1\r\nHost: x\r\n"
                link.send(line.encode() + b"Content-Length: 0\r\n\r\n")
                reply = link.read()
                assert reply.status in (404, 405), (path, reply)
                assert b"root:" not in reply.body
                assert b"X-A" not in reply.head
        assert "Traceback" not in process.log()


@pytest.mark.parametrize("name", ["..", "../../etc/passwd", "/etc", "a/../..", ".", "a\\..\\.."])
def test_a_model_may_have_any_name_and_no_file_is_made_of_it(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    multi = Multi()
    status = multi.load(name, colour_bundle()).status_code
    assert status == (400 if name.startswith("/") else 200)
    assert list(tmp_path.iterdir()) == []
    if status == 200:
        assert multi.names() == [name]
        multi.models.unload(name)


class Trap:
    """Leaves a file where it is unpickled."""

    def __reduce__(self):
        return open, ("unpickled", "w")


def test_a_pickle_in_a_models_folder_is_refused_and_not_run(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.pth").write_bytes(pickle.dumps(Trap()))
    monkeypatch.chdir(tmp_path)
    reply = Multi().load("m", tmp_path / "model")
    assert reply.status_code == 500
    assert "no TorchScript" in reply.json["message"]
    assert not (tmp_path / "unpickled").exists()


def test_a_bundle_whose_weights_are_a_pickle_is_refused_and_not_run(tmp_path, monkeypatch):
    folder = shutil.copytree(colour_bundle(), tmp_path / "model")
    manifest = json.loads((folder / "bundle.json").read_text())
    for name in manifest["files"]:
        (folder / name).write_bytes(pickle.dumps(Trap()))
    monkeypatch.chdir(tmp_path)
    assert "sha256 differs" in Multi().load("m", folder).json["message"]
    assert not (tmp_path / "unpickled").exists()


def member(name, kind=tarfile.REGTYPE, link=""):
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    found.size = 2 if kind == tarfile.REGTYPE else 0
    return found


ESCAPES = {
    "climbs": [member("../escaped")],
    "climbs-within": [member("a/../../escaped")],
    "absolute": [member("/tmp/kennel-escaped")],
    "link": [member("bundle.json", tarfile.SYMTYPE, "/etc/passwd")],
    "link-then-file": [member("a", tarfile.SYMTYPE, ".."), member("a/escaped")],
    "hard-link": [member("a", tarfile.LNKTYPE, "../escaped")],
    "device": [member("a", tarfile.CHRTYPE)],
    "pipe": [member("a", tarfile.FIFOTYPE)],
}


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("unpacker", [unpack, unpack_model], ids=["channel", "model"])
def test_no_archive_writes_outside_of_its_folder(tmp_path, unpacker, name):
    archive = tmp_path / "in" / "model.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        for item in ESCAPES[name]:
            tar.addfile(item, io.BytesIO(b"hi") if item.size else None)
    target = tmp_path / "out" / "model"
    target.parent.mkdir()
    with pytest.raises((BundleError, DataError)):
        unpacker(archive, target)
    assert list(target.parent.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
