"""For the tests of serve/: a bundle that knows colours, pictures, and the server as a process."""

import atexit
import functools
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from flask.testing import FlaskClient
from PIL import Image

from serve.app import create_app
from serve.model import load_model
from serve.service import Service
from serve.settings import ServeSettings

REPOSITORY = Path(__file__).resolve().parents[1]
COLOURS = {"blue": (20, 40, 230), "green": (10, 220, 30), "red": (240, 30, 10)}
SHARPNESS = 8.0  # of the tiny network: logits are 8 x the mean of each colour plane
WAIT_SECONDS = 60


@functools.cache
def colour_bundle() -> Path:
    """A real bundle that answers softmax(8 x mean blue, green, red). Built once; do not write."""
    import torch

    from classifier.export import export_bundle
    from classifier.network import Network
    from contract.manifest import Manifest, Preprocess, Probe

    folder = Path(tempfile.mkdtemp(prefix="colour-bundle-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    trunk = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    head = torch.nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        head.weight.copy_(SHARPNESS * torch.eye(3).flip(0))  # planes are R G B, labels B G R
    network = Network(trunk, head, torch.zeros(3), torch.ones(3))
    labels = tuple(COLOURS)
    manifest = Manifest(
        arch="squeezenet1_1",
        labels=labels,
        preprocess=Preprocess(resize_px=40, crop_px=32),
        probe=Probe(probabilities=(1 / 3,) * 3),
        files={},
    )
    export_bundle(network, folder, manifest)
    return folder


def expected_probabilities(pixels: np.ndarray) -> np.ndarray:
    """What the bundle must answer for one uint8 (32, 32, 3) picture, in plain numpy."""
    logits = SHARPNESS * pixels.reshape(-1, 3).mean(axis=0)[::-1] / 255
    return np.exp(logits) / np.exp(logits).sum()


def picture(colour: str = "red", form: str = "PNG", size: tuple[int, int] = (64, 48)) -> bytes:
    """An encoded picture of one colour."""
    data = io.BytesIO()
    Image.new("RGB", size, COLOURS[colour]).save(data, format=form)
    return data.getvalue()


def client_for(folder: Path, **settings: object) -> FlaskClient:
    """Flask's client of a server whose model is loaded."""
    chosen = ServeSettings(bundle=str(folder), **settings)  # type: ignore[arg-type]
    service = Service(lambda: load_model(chosen, 2), chosen.max_in_flight)
    service.load()
    return create_app(service, chosen).test_client()


@functools.cache
def colour_client() -> FlaskClient:
    """The client that most tests share."""
    return client_for(colour_bundle())


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """`python -m serve` as a process of its own."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], log_file: Path) -> None:
        self.port, self.process, self.log_file = port, process, log_file
        self.url = f"http://127.0.0.1:{port}"

    def log(self) -> str:
        return self.log_file.read_text()

    def get(self, path: str, **options: object) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body; also for errors. `options` as of urllib's Request."""
        request = urllib.request.Request(self.url + path, **options)  # type: ignore[arg-type]
        try:
            with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as reply:
                return reply.status, dict(reply.headers), reply.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.get("/ping")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"the server is not ready:\n{self.log()}")


@contextmanager
def server(
    folder: Path | None, environment: Mapping[str, str] | None = None, *, ready: bool = True
) -> Iterator[Server]:
    """Start the server on a free port of 127.0.0.1; stop it in the end."""
    port = free_port()
    bundle = ["--bundle", str(folder)] if folder else []
    with tempfile.TemporaryDirectory(prefix="serve-test-") as scratch:
        log_file = Path(scratch) / "log"
        with log_file.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "serve", "--host", "127.0.0.1", *bundle],
                env={**os.environ, "SAGEMAKER_BIND_TO_PORT": str(port), **(environment or {})},
                cwd=REPOSITORY,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        running = Server(port, process, log_file)
        try:
            if ready:
                running.wait_until_ready()
            yield running
        finally:
            # SIGINT is gunicorn's quick stop: it does not wait for idle connections.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(WAIT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(WAIT_SECONDS)
