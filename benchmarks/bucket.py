"""Bucket: moto's server as Amazon S3, behind a proxy that adds a latency to every request."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BUCKET = "pictures"
WAIT_SECONDS = 120


@contextlib.contextmanager
def distant_bucket(latency_seconds: float) -> Iterator[Any]:
    """Yield a client without latency, to fill the bucket. Clients that are made while the block
    runs, in this process, go through the proxy.
    """
    import boto3

    port, distant = _free_port(), _free_port()
    proxy = [sys.executable, "-m", "benchmarks.latency", str(distant), str(port)]
    with (
        _running([_moto(), "-H", "127.0.0.1", "-p", str(port)], port),
        _running([*proxy, str(latency_seconds)], distant),
        _environment(
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{distant}",
            AWS_ACCESS_KEY_ID="benchmark",
            AWS_SECRET_ACCESS_KEY="benchmark",
            AWS_DEFAULT_REGION="us-east-1",
            AWS_EC2_METADATA_DISABLED="true",
        ),
    ):
        client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
        client.create_bucket(Bucket=BUCKET)
        yield client


def _moto() -> str:
    beside = ROOT / ".venv-containers" / "bin" / "moto_server"
    program = shutil.which("moto_server") or (str(beside) if beside.exists() else None)
    if program is None:
        raise SystemExit("moto_server is missing: `make test-containers` installs it")
    return program


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    """A server, from its first answer on."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[0]} does not answer")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=5):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _environment(**changes: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, text in before.items():
            os.environ.pop(name)
            if text is not None:
                os.environ[name] = text


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
