"""Throughput: what one server of a bundle answers on this machine, measured with real requests."""

import io
import random
import statistics
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from contract.errors import HostError, RequestError
from control.bundle_source import opened_bundle
from control.client import message_of
from control.http_connection import HttpConnection
from control.server import running_server

CLIENTS = 8  # that each wait for an answer before they ask again
SECONDS = 6.0  # with all of them, after a third of it with one
ANSWER_SECONDS = 60.0
SIZE = (640, 480)  # of the picture that is sent unless one is given


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Of one server on this machine: an instance of another type differs."""

    images_per_second: float
    latency_seconds: float  # the median of a client by itself
    clients: int = CLIENTS


def measure(source: Path, picture: bytes, seconds: float = SECONDS) -> Measured:
    """Serve a bundle here, and ask it in a closed loop.

    Raises BundleError or UsageError: it is no bundle. HostError: the server fails. RequestError:
    it refuses the picture.
    """
    with opened_bundle(source) as bundle, running_server(bundle) as url:
        alone = _Load(url, picture).run(1, seconds / 3)
        together = _Load(url, picture).run(CLIENTS, seconds)
    return Measured(
        images_per_second=together.count / together.took,
        latency_seconds=statistics.median(alone.seconds),
    )


def usual_picture() -> bytes:
    """A JPEG with the detail of a photograph, about 60 kB: coarse noise, always the same."""
    from PIL import Image

    source = random.Random(0)
    width, height = SIZE[0] // 8, SIZE[1] // 8
    coarse = Image.frombytes("RGB", (width, height), source.randbytes(3 * width * height))
    data = io.BytesIO()
    coarse.resize(SIZE, Image.Resampling.BICUBIC).save(data, format="JPEG", quality=85)
    return data.getvalue()


@dataclass(slots=True)
class _Load:
    """Clients of one server; `took` and `seconds` once they are done."""

    url: str
    picture: bytes
    seconds: list[float] = field(default_factory=list)  # of each answer
    took: float = 0.0
    _failed: list[Exception] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.seconds)

    def run(self, clients: int, seconds: float) -> "_Load":
        begun = time.monotonic()
        threads = [
            threading.Thread(target=self._ask, args=(begun + seconds,)) for _ in range(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.took = time.monotonic() - begun
        if self._failed:
            raise self._failed[0]
        return self

    def _ask(self, until: float) -> None:
        headers = {"Content-Type": "application/octet-stream", "Accept": "application/json"}
        connection = HttpConnection(f"{self.url}/invocations", headers, ANSWER_SECONDS)
        try:
            while not self.seconds or (time.monotonic() < until and not self._failed):
                begun = time.monotonic()
                answer = connection.post(self.picture)
                if answer.status != 200:
                    self._failed.append(
                        RequestError(answer.status, message_of(answer.body, answer.status))
                    )
                    return
                self.seconds.append(time.monotonic() - begun)
        except OSError as error:
            self._failed.append(HostError(f"the server at {self.url} stopped answering: {error}"))
        finally:
            connection.close()
