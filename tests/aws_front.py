"""AWS for tests: moto's server over HTTP, and in front of it what moto has not got.

The front records every call, lets a call fail as AWS would (throttled, denied, over a quota),
lets states pass one after another (moto's jobs are done at once), answers operations that moto
does not know from the test's own data, and hands InvokeEndpoint to a real server of ours.
"""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from xml.sax.saxutils import escape

from aws_operations import Seen, operation_of
from buckets import moto_server
from serving import REPOSITORY, free_port

ACCOUNT = "123456789012"  # moto's
REGION = "us-east-1"
WAIT_SECONDS = 60
Answer = Callable[[dict[str, Any]], "dict[str, Any] | Reply"]
DROPPED = frozenset({"connection", "transfer-encoding", "content-length", "date", "server"})


@dataclass
class Aws:
    """Running. `environment` is that of somebody who has an account."""

    url: str
    environment: dict[str, str]
    seen: list[Seen] = field(default_factory=list)
    _failures: dict[str, deque[tuple[str, str, int]]] = field(default_factory=dict)
    _answers: dict[str, Answer] = field(default_factory=dict)
    _stages: dict[str, deque[dict[str, Any]]] = field(default_factory=dict)
    _after: dict[str, Callable[[dict[str, Any]], object]] = field(default_factory=dict)
    _runtime: str = ""

    def fail(self, operation: str, code: str, message: str = "", *, status: int = 400, times: int = 1) -> None:
        """Let the next `times` calls of `operation` fail. boto3 tries 429 and 5xx again."""
        waiting = self._failures.setdefault(operation, deque())
        waiting.extend([(code, message, status)] * times)

    def answer(self, operation: str, answer: Answer | dict[str, Any]) -> None:
        """Answer a JSON operation instead of moto, from its parameters. Raise Refusal to refuse."""
        self._answers[operation] = answer if callable(answer) else lambda _: answer

    def stages(self, operation: str, *changes: dict[str, Any]) -> None:
        """Change moto's answers: the first by the first change, ... and the last one stays."""
        self._stages[operation] = deque(changes)

    def after(self, operation: str, act: Callable[[dict[str, Any]], object]) -> None:
        """Let `act` happen once moto has answered a call, before its caller hears of it."""
        self._after[operation] = act

    def serve_endpoints(self, url: str) -> None:
        """InvokeEndpoint asks this server: /invocations, or /models/NAME/invoke with a target."""
        self._runtime = url.rstrip("/")

    def client(self, service: str) -> Any:
        """A client of the test's own. What it asks is recorded, too: see `forget`."""
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def forget(self) -> None:
        """Begin the record anew."""
        self.seen.clear()

    def calls(self, operation: str) -> list[dict[str, Any]]:
        """The parameters of every call of this operation."""
        return [one.parameters for one in self.seen if one.operation == operation]

    @property
    def actions(self) -> set[str]:
        """What a policy must allow for what was called."""
        return {one.action for one in self.seen if one.operation}

    def kennel(
        self, *words: object, cwd: Path | None = None, stdin: str = "", **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run the command line as somebody with an account; states are asked for quickly."""
        return subprocess.run(
            [sys.executable, "-m", "control", *map(str, words)],
            env={**self.environment, "KENNEL_POLL_SECONDS": "0.05", **variables},
            cwd=cwd or REPOSITORY,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What an `answer` gives when headers matter, or a body that is no object."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """What an `answer` raises to refuse: code, message, HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code, message, status)
        self.code, self.message, self.status = code, message, status


@contextmanager
def moto(folder: Path) -> Iterator[str]:
    """moto's server; its address."""
    program = moto_server()
    assert program, "moto is not installed: make test installs it"
    url, port = "", free_port()
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(WAIT_SECONDS)


@contextmanager
def aws(moto_url: str, home: Path) -> Iterator[Aws]:
    """The front before an emptied moto."""
    urllib.request.urlopen(
        urllib.request.Request(f"{moto_url}/moto-api/reset", method="POST"), timeout=WAIT_SECONDS
    ).close()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    running = Aws(url=f"http://127.0.0.1:{server.server_address[1]}", environment={})
    running.environment = _environment(home, running.url)
    server.front, server.moto = running, urlsplit(moto_url).netloc  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join(WAIT_SECONDS)
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _any(self) -> None:
        body = self._body()
        front: Aws = self.server.front  # type: ignore[attr-defined]
        service, operation = operation_of(self.command, self.path, self.headers, body)
        if operation:
            front.seen.append(
                Seen(
                    service=service, operation=operation, parameters=_json(body), path=self.path
                )
            )
        if waiting := front._failures.get(operation):
            self._refuse(*waiting.popleft(), body=body)
        elif operation in front._answers:
            self._invent(front._answers[operation], body)
        elif operation == "InvokeEndpoint" and front._runtime:
            self._invoke(front._runtime, body)
        else:
            self._hand_on(front, operation, body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = _any  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            pass  # BaseHTTPRequestHandler has said "100 Continue" itself
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():  # trailers
                pass
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _invent(self, answer: Answer, body: bytes) -> None:
        try:
            found = answer(_json(body))
        except Refusal as refusal:
            self._refuse(refusal.code, refusal.message, refusal.status, body=body)
            return
        if isinstance(found, Reply):
            self._reply(200, found.headers, found.body)
            return
        self._reply(200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(found).encode())

    def _refuse(self, code: str, message: str, status: int, *, body: bytes) -> None:
        if b"Action=" in body or "/s3/" in self.headers.get("Authorization", ""):
            text = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
            is_s3 = b"Action=" not in body
            xml = f"<Error>{text}</Error>"
            document = xml if is_s3 else f"<ErrorResponse>{xml}</ErrorResponse>"
            self._reply(status, {"Content-Type": "text/xml"}, document.encode())
            return
        document = json.dumps({"__type": code, "message": message, "Message": message})
        headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code}
        self._reply(status, headers, document.encode())

    def _invoke(self, runtime: str, body: bytes) -> None:
        """As SageMaker does: what the container refuses comes back as a ModelError."""
        target = self.headers.get("X-Amzn-SageMaker-Target-Model")
        path = f"/models/{quote(target, safe='')}/invoke" if target else "/invocations"
        wanted = ("Content-Type", "Accept", "X-Amzn-SageMaker-Custom-Attributes")
        headers = {name: self.headers[name] for name in wanted if self.headers.get(name)}
        request = urllib.request.Request(f"{runtime}{path}", body, headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
                kind = {"Content-Type": answer.headers["Content-Type"]}
                self._reply(200, {**kind, "x-Amzn-Invoked-Production-Variant": "main"}, answer.read())
        except urllib.error.HTTPError as error:
            said = error.read().decode("utf-8", "replace")
            document = {
                "Message": f"Received client error ({error.code}) from primary with message \"{said}\"",
                "OriginalStatusCode": error.code,
                "OriginalMessage": said,
            }
            self._reply(
                424,
                {"Content-Type": "application/json", "x-amzn-ErrorType": "ModelError"},
                json.dumps(document).encode(),
            )

    def _hand_on(self, front: Aws, operation: str, body: bytes) -> None:
        moto_host: str = self.server.moto  # type: ignore[attr-defined]
        connection = http.client.HTTPConnection(moto_host, timeout=WAIT_SECONDS)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in DROPPED}
        headers["Host"] = moto_host
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in DROPPED}
        length = answer.getheader("Content-Length")
        connection.close()
        if operation in front._after and answer.status == 200:
            front._after[operation](_json(body))
        changes = front._stages.get(operation)
        if changes and answer.status == 200:
            change = changes.popleft() if len(changes) > 1 else changes[0]
            data = json.dumps({**_json(data), **change}).encode()
        self._reply(answer.status, kept, data, length if self.command == "HEAD" else None)

    def _reply(
        self, status: int, headers: dict[str, str], data: bytes, length: str | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(data)))
        # Whoever asked may have been stopped meanwhile.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _environment(home: Path, url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept,
        "HOME": str(home),
        "PYTHONPATH": str(REPOSITORY),
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
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


__all__ = ["ACCOUNT", "REGION", "Aws", "Refusal", "Reply", "aws", "moto"]
