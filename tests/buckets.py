"""A stand-in for Amazon S3: moto's server over HTTP, asked by real boto3."""

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving import REPOSITORY, free_port

BUCKET = "photos"
PAGE_KEYS = 10  # of a listing; S3's own pages have 1000
WAIT_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Buckets:
    """Running; `environment` is that of somebody who has an AWS account."""

    environment: dict[str, str]
    client: Any

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        data: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return data


def moto_server() -> str | None:
    """The program, beside the Python that runs the tests."""
    beside = Path(sys.executable).with_name("moto_server")
    return str(beside) if beside.exists() else shutil.which("moto_server")


@contextmanager
def buckets(folder: Path) -> Iterator[Buckets]:
    """Start it with one bucket; stop it in the end."""
    import boto3

    port, program = free_port(), moto_server()
    assert program, "run `make test-containers`, which installs moto"
    url = f"http://127.0.0.1:{port}"
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-H", "127.0.0.1", "-p", str(port)],
            env={**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE_KEYS)},
            stdout=log,
            stderr=log,
        )
        try:
            _wait_for(url, process)
            client = boto3.client(
                "s3",
                endpoint_url=url,
                region_name="us-east-1",
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
            )
            client.create_bucket(Bucket=BUCKET)
            yield Buckets(environment=_environment(folder, url), client=client)
            client.close()
        finally:
            process.terminate()
            process.wait(WAIT_SECONDS)


def _environment(home: Path, url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept,
        "HOME": str(home),
        "PYTHONPATH": str(REPOSITORY),
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/moto-api/", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("moto does not answer")
