"""Here: the function without AWS, in a child Python, before a server of ours on this machine."""

import contextlib
import http.client
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from contract.errors import HostError
from control.aws.lambdas.archive import build_archive
from control.aws.lambdas.function_spec import FunctionSpec
from control.aws.lambdas.invoking import Invoked, read_answer
from control.client import base_url, is_ready

CHILD = Path(__file__).with_name("child.py")
ASK_SECONDS = 60.0  # as SageMaker waits for a container
KEPT = ("Content-Type", "Accept")


def invoke_here(spec: FunctionSpec, event: Mapping[str, Any], url: str) -> Invoked:
    """The function's answer to one event. Raises HostError: nothing serves there, or it failed."""
    if not is_ready(url):
        raise HostError(f"nothing is ready at {url}: start `kennel serve RUN`, or give --here URL")
    with tempfile.TemporaryDirectory(prefix="kennel-lambda-") as folder, bridge(url) as endpoint:
        zipfile.ZipFile(io.BytesIO(build_archive())).extractall(folder)
        try:
            done = subprocess.run(
                [sys.executable, "-I", str(CHILD), folder, str(spec.timeout_seconds)],
                input=json.dumps(event) + "\n",
                env=variables_of(spec, endpoint),
                capture_output=True,
                text=True,
                timeout=spec.timeout_seconds + 30,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise HostError(f"the function took over {spec.timeout_seconds} s here") from None
    if done.returncode:
        told = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise HostError(f"the function failed here: {told}")
    return read_answer(done.stdout.encode(), {})


def variables_of(spec: FunctionSpec, endpoint_url: str) -> dict[str, str]:
    """What the function finds in Lambda, and where it finds the endpoint here."""
    system = ("PATH", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")
    return {
        **{name: os.environ[name] for name in system if name in os.environ},
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": endpoint_url,
        **spec.variables,
    }


@contextlib.contextmanager
def bridge(url: str) -> Iterator[str]:
    """Speaks InvokeEndpoint, asks the server at `url`; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Bridge)
    server.daemon_threads = True
    server.kennel = urlsplit(base_url(url))  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Bridge(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: self.headers[name] for name in KEPT if self.headers.get(name)}
        target = self.headers.get("X-Amzn-SageMaker-Target-Model")
        if target:
            headers["X-Amzn-SageMaker-Target-Model"] = target
        where = self.server.kennel  # type: ignore[attr-defined]
        kind = (
            http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
        )
        connection = kind(where.netloc, timeout=ASK_SECONDS)
        try:
            connection.request("POST", f"{where.path}/invocations", body, headers)
            answer = connection.getresponse()
            status, content, said = answer.status, answer.getheader("Content-Type"), answer.read()
        except OSError as error:
            status, content, said = 502, "text/plain", str(error).encode()
        finally:
            connection.close()
        if status == 200:
            self._answer(200, {"Content-Type": content or "application/json"}, said)
        else:
            self._refuse(status, said.decode("utf-8", "replace"))

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _refuse(self, status: int, said: str) -> None:
        """As SageMaker passes on what a container refuses."""
        document = {
            "Message": f"Received error ({status}) from the model",
            "OriginalStatusCode": status,
            "OriginalMessage": said[:2048],
        }
        kind = {"Content-Type": "application/json", "x-amzn-ErrorType": "ModelError"}
        self._answer(424, kind, json.dumps(document).encode())

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
