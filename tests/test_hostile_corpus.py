"""Every file of tests/hostile is answered or refused as its name says, and nothing is harmed."""

import json
import math
import os
import re
from pathlib import Path

import pytest
from raw_http import POST, exchange, post
from serving import COLOURS, colour_bundle, picture, server

MIB = 1024 * 1024
CORPUS = Path(__file__).parent / "hostile"
TYPES = {
    "jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif",
    "tiff": "image/tiff", "bmp": "image/bmp", "ppm": "image/x-portable-pixmap",
    "jp2": "image/jp2", "ico": "image/x-icon", "avif": "image/avif",
    "bin": "application/octet-stream", "npy": "application/x-npy", "json": "application/json",
    "jsonl": "application/jsonlines", "form": "multipart/form-data; boundary=x",
}  # fmt: skip
NAME = re.compile(r"(?P<status>4\d\d)-(?P<error>[A-Za-z]+)-.+")
# What one request may add to the server's memory for a moment. Without limits 172 bytes of a JPEG
# 2000 cost 800 MB, half a megabyte of PNG 1.9 GB.
MOST_MIB = 400
# Of computing, not of waiting: a busy machine changes nothing about it.
MOST_CPU_SECONDS = 10
# What may stay for good after all of it: the free lists of each thread's allocator.
MOST_KEPT_MIB = 300


def files(folder):
    return sorted((CORPUS / folder).iterdir())


def name_of(path):
    return path.name


@pytest.fixture(scope="module")
def running():
    with server(colour_bundle()) as process:
        yield process


@pytest.fixture(scope="module")
def worker(running):
    """The process that answers, after its first answer, and what it takes then."""
    assert exchange(running.port, post(picture("red"))).labels == ["red"]
    pid = running.process.pid
    return Worker(int(Path(f"/proc/{pid}/task/{pid}/children").read_text()))


class Worker:
    """What a process has used, as the kernel counts it."""

    def __init__(self, pid):
        self.folder = Path(f"/proc/{pid}")
        self.first_mib = self.mib("VmRSS")

    def mib(self, name):
        """VmRSS is what it takes now, VmHWM the most since the last `forget_peak`."""
        return (
            int(re.search(rf"{name}:\s+(\d+) kB", (self.folder / "status").read_text())[1]) / 1024
        )

    def cpu_seconds(self):
        fields = (self.folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def forget_peak(self):
        (self.folder / "clear_refs").write_text("5")


def ask(running, worker, path):
    """The reply to one file; fails when it cost too much."""
    worker.forget_peak()
    mib, seconds = worker.mib("VmRSS"), worker.cpu_seconds()
    reply = exchange(running.port, request_of(path))
    assert worker.mib("VmHWM") - mib < MOST_MIB
    assert worker.cpu_seconds() - seconds < MOST_CPU_SECONDS
    return reply


def request_of(path):
    data = path.read_bytes()
    if path.suffix != ".http":
        return post(data, TYPES[path.suffix[1:]])
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.strip(b"\r\n") + b"\r\n" if head.strip(b"\r\n") else b""
    return POST + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize("path", files("accepted"), ids=name_of)
def test_what_is_unusual_but_right_is_answered(running, worker, path):
    reply = ask(running, worker, path)
    assert reply.status == 200, reply.body
    for item in json.loads(reply.body)["predictions"]:
        values = [entry["probability"] for entry in item["top"]]
        assert len(values) == len(COLOURS)
        assert math.isclose(sum(values), 1, abs_tol=1e-4)
        colour = path.name.partition("-")[0]
        assert colour not in COLOURS or item["label"] == colour


@pytest.mark.parametrize("path", files("refused"), ids=name_of)
def test_what_is_hostile_is_refused_with_the_reason(running, worker, path):
    reply = ask(running, worker, path)
    wanted = NAME.fullmatch(path.name)
    assert reply.error, reply.body
    assert "Traceback" not in reply.body.decode()
    if wanted is None:
        assert 400 <= reply.status < 500
    else:
        assert (str(reply.status), reply.error) == (wanted["status"], wanted["error"]), reply.body


def test_the_server_is_unharmed_by_all_of_it(running, worker):
    """Last in this file."""
    assert running.get("/ping")[0] == 200
    assert exchange(running.port, post(picture("blue"))).labels == ["blue"]
    assert worker.mib("VmRSS") - worker.first_mib < MOST_KEPT_MIB
    assert "Traceback" not in running.log()
    assert not Path("kennel-was-unpickled").exists()


def test_the_corpus_is_small():
    assert sum(path.stat().st_size for path in CORPUS.rglob("*")) < 2 * MIB
