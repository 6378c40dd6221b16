"""What `kennel doctor` asks of AWS and moto lacks: quotas, and images with their configuration."""

import contextlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving import colour_bundle

if TYPE_CHECKING:
    from aws_front import Aws

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
QUOTAS = {
    "ml.m5.xlarge for training job usage": 2,
    "ml.m5.large for training job usage": 15,
    "ml.c5.xlarge for training job usage": 1,
    "ml.g4dn.xlarge for training job usage": 0,
    "ml.g5.xlarge for training job usage": 4,
    "ml.g4dn.xlarge for endpoint usage": 0,
    "ml.m5.large for endpoint usage": 3,
}
JOB = """
[aws]
output = "s3://pictures/out"
instance_type = "{kind}"
instance_count = {count}
[aws.channels]
train = "s3://pictures/train"
"""
ENDPOINT = """
kind = "real-time"
bundle = "{bundle}"
ttl_hours = 0
[aws]
artifacts = "s3://pictures/models"
instance_type = "{kind}"
"""


def answer_quotas(aws: "Aws") -> None:
    """Service Quotas, which moto has a part of; two quotas a page."""
    listed = [
        {"QuotaName": name, "QuotaCode": f"L-{number:08d}", "Value": float(value)}
        for number, (name, value) in enumerate(QUOTAS.items())
    ]

    def page(asked: dict[str, Any]) -> dict[str, Any]:
        start = int(asked.get("NextToken", "0"))
        more = {"NextToken": str(start + 2)} if start + 2 < len(listed) else {}
        return {"Quotas": listed[start : start + 2], **more}

    aws.answer("ListServiceQuotas", page)
    aws.answer("ListAWSDefaultServiceQuotas", {"Quotas": []})


def answer_image(aws: "Aws", media_type: str, url: str = "") -> None:
    """ECR: one image of this kind, its configuration at `url`."""
    document = {"mediaType": media_type, "config": {"digest": "sha256:" + "0" * 64}}
    image = {"imageManifest": json.dumps(document), "imageManifestMediaType": media_type}
    aws.answer("BatchGetImage", {"images": [image], "failures": []})
    aws.answer("GetDownloadUrlForLayer", {"downloadUrl": url, "layerDigest": "sha256:0"})


@contextlib.contextmanager
def configuration(architecture: str) -> Iterator[str]:
    """A server that hands out an image's configuration; its address."""
    document = json.dumps({"os": "linux", "architecture": architecture}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/config"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def packed(prefix: str) -> bytes:
    """The colour bundle as an archive, its files below `prefix`."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for path in sorted(colour_bundle().iterdir()):
            tar.add(path, prefix + path.name)
    return data.getvalue()


def job_file(folder: Path, kind: str = "ml.m5.xlarge", count: int = 1, more: str = "") -> Path:
    """A job file."""
    path = folder / "dogs.toml"
    path.write_text(JOB.format(kind=kind, count=count) + more)
    return path


def endpoint_file(folder: Path, bundle: object, kind: str = "ml.m5.large", more: str = "") -> Path:
    """A deployment file."""
    path = folder / "endpoint.toml"
    path.write_text(ENDPOINT.format(kind=kind, bundle=bundle) + more)
    return path
