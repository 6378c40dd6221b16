"""How the front answers one request: from the test's words, from moto, or from a real server."""

import contextlib
import http.client
import json
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from aws_needs import Asked
from aws_operations import Seen, operation_of
from aws_words import complaints_of

WAIT_SECONDS = 60
PLAIN_JSON = frozenset({"lambda", "scheduler"})  # bodies in the words of the model
DROPPED = frozenset({"connection", "transfer-encoding", "content-length", "date", "server"})


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What an `answer` gives when headers matter, or a body that is no object."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):  # noqa: N818 - no error of ours: AWS's answer
    """What an `answer` raises to refuse: code, message, HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code, message, status)
        self.code, self.message, self.status = code, message, status


Answer = Callable[[dict[str, Any]], dict[str, Any] | Reply]


@dataclass
class Script:
    """What a test wants to happen, by operation."""

    seen: list[Seen] = field(default_factory=list)
    failures: dict[str, deque[tuple[str, str, int]]] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    stages: dict[str, deque[dict[str, Any]]] = field(default_factory=dict)
    after: dict[str, Callable[[dict[str, Any]], object]] = field(default_factory=dict)
    gate: Callable[[Asked], str] | None = None  # why kennel may not; see tests/aws_gate.py
    runtime: str = ""  # address of the server that answers InvokeEndpoint
    many: str = ""  # of one over a folder of models, which answers those with a target
    refused: list[str] = field(default_factory=list)  # what AWS would, by its model's own words


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _any(self) -> None:
        body = self._body()
        if len(body) < int(self.headers.get("Content-Length") or 0):
            self.close_connection = True  # whoever asked was stopped in the middle of it
            return
        script: Script = self.server.script  # type: ignore[attr-defined]
        service, operation = operation_of(self.command, self.path, self.headers, body)
        if self.headers.get("X-Amz-Target") or (service in PLAIN_JSON and operation != "Invoke"):
            script.refused.extend(complaints_of(service, operation, _json(body)))
        if operation:
            script.seen.append(
                Seen(service=service, operation=operation, parameters=_json(body), path=self.path)
            )
        if script.gate and operation and "kennel" in self.headers.get("User-Agent", ""):
            words = script.gate(Asked.of(self, service, operation, body))
            if words:
                self._refuse("AccessDenied", words, 403, body=body)
                return
        if waiting := script.failures.get(operation):
            self._refuse(*waiting.popleft(), body=body)
        elif operation in script.answers:
            self._invent(script.answers[operation], body)
        elif operation == "InvokeEndpoint" and script.runtime:
            self._invoke(script, body)
        else:
            self._hand_on(script, operation, body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = _any

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

    def _invoke(self, script: Script, body: bytes) -> None:
        """As SageMaker does: what the container refuses comes back as a ModelError."""
        target = self.headers.get("X-Amzn-SageMaker-Target-Model")
        runtime, path = script.runtime, "/invocations"
        wanted = ["Content-Type", "Accept", "X-Amzn-SageMaker-Custom-Attributes"]
        if target and script.many:
            runtime = script.many
            wanted.append("X-Amzn-SageMaker-Target-Model")
        elif target:
            path = f"/models/{quote(target, safe='')}/invoke"
        headers = {name: self.headers[name] for name in wanted if self.headers.get(name)}
        request = urllib.request.Request(f"{runtime}{path}", body, headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
                kind = {"Content-Type": answer.headers["Content-Type"]}
                variant = {"x-Amzn-Invoked-Production-Variant": "main"}
                self._reply(200, {**kind, **variant}, answer.read())
        except urllib.error.HTTPError as error:
            said = error.read().decode("utf-8", "replace")
            document = {
                "Message": f'Received client error ({error.code}) from primary: "{said}"',
                "OriginalStatusCode": error.code,
                "OriginalMessage": said,
            }
            self._reply(
                424,
                {"Content-Type": "application/json", "x-amzn-ErrorType": "ModelError"},
                json.dumps(document).encode(),
            )

    def _hand_on(self, script: Script, operation: str, body: bytes) -> None:
        moto_host: str = self.server.moto  # type: ignore[attr-defined]
        connection = http.client.HTTPConnection(moto_host, timeout=WAIT_SECONDS)
        headers = _kept(self.headers.items())
        headers["Host"] = moto_host
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        kept = _kept(answer.getheaders())
        length = answer.getheader("Content-Length")
        connection.close()
        if operation in script.after and answer.status == 200:
            script.after[operation](_json(body))
        changes = script.stages.get(operation)
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


def _kept(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in DROPPED}


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
