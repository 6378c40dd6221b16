"""For the tests of the function in Lambda: the function in a child, and events of every kind."""

import base64
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aws_front import REGION, Aws
from serving import REPOSITORY

from control.aws.lambdas.archive import build_archive

CHILD = REPOSITORY / "control" / "aws" / "lambdas" / "child.py"
WORLD = REPOSITORY / "tests" / "lambda_world.py"
WAIT_SECONDS = 60
BOUNDARY = "----WebKitFormBoundaryA1b2"  # as Chromium makes it
FORM_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


@dataclass
class Function:
    """Warm: it answers as many events as come."""

    process: "subprocess.Popen[str]"
    log_file: Path

    def __call__(self, event: Any) -> dict[str, Any]:
        """Lambda's answer; its body stays text."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(event) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.log_file.read_text()
        answer: dict[str, Any] = json.loads(line)
        assert set(answer) == {"statusCode", "headers", "body", "isBase64Encoded"}
        assert "Traceback" not in line
        return answer

    def refusal(self, event: Any) -> tuple[int, str]:
        """Status and words of an error, which is JSON of a known form."""
        answer = self(event)
        assert answer["headers"]["Content-Type"] == "application/json"
        document = json.loads(answer["body"])
        assert set(document) == {"error", "message"}
        assert answer["statusCode"] >= 400
        return answer["statusCode"], document["message"]

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines that were logged."""
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]


@contextmanager
def function(
    aws: Aws, folder: Path, *, seconds: float = 30, world: Any = None, **variables: str
) -> Iterator[Function]:
    """The archive as it is deployed, in an isolated Python that finds the front as its AWS."""
    code = folder / "code"
    zipfile.ZipFile(io.BytesIO(build_archive())).extractall(code)
    log_file = folder / "function.log"
    program = [str(CHILD)] if world is None else [str(WORLD)]
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", *program, str(code), str(seconds)],
            env={
                "PATH": "/usr/bin:/bin",
                "AWS_LAMBDA_FUNCTION_NAME": "dogs",
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_ENDPOINT_URL": aws.url,
                "ENDPOINT_NAME": "dogs",
                "LAMBDA_CHILD": str(CHILD),
                "LAMBDA_WORLD": json.dumps(world),
                **variables,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        yield Function(process, log_file)
    finally:
        assert process.stdin
        assert process.stdout
        process.stdin.close()
        process.stdout.close()
        process.wait(WAIT_SECONDS)


def api_gateway(body: bytes | str | None, method: str = "POST", **headers: str) -> dict[str, Any]:
    """Version 1 of the payload, as a REST API with a proxy integration sends it."""
    text, is_base64 = _body(body)
    named = {"Host": "id.execute-api.us-east-1.amazonaws.com", "Accept": "*/*"}
    named |= {name.replace("_", "-").title(): value for name, value in headers.items()}
    return {
        "resource": "/{proxy+}",
        "path": "/predict",
        "httpMethod": method,
        "headers": named,
        "multiValueHeaders": {name: [value] for name, value in named.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": "predict"},
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "id",
            "httpMethod": method,
            "path": "/test/predict",
            "protocol": "HTTP/1.1",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "identity": {"sourceIp": "203.0.113.5", "userAgent": "curl/8.5.0"},
            "stage": "test",
        },
        "body": text,
        "isBase64Encoded": is_base64,
    }


def function_url(body: bytes | str | None, method: str = "POST", **headers: str) -> dict[str, Any]:
    """Version 2 of the payload: a Function URL's, and an HTTP API's."""
    text, is_base64 = _body(body)
    host = "id.lambda-url.us-east-1.on.aws"
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {
            "host": host,
            "accept": "*/*",
            "x-forwarded-proto": "https",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "id",
            "domainName": host,
            "domainPrefix": "id",
            "http": {
                "method": method,
                "path": "/",
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.5",
                "userAgent": "Mozilla/5.0",
            },
            "requestId": "e1506fd5-9e7b-434f-bd42-4f8fa224b599",
            "routeKey": "$default",
            "stage": "$default",
            "time": "28/Nov/2026:05:00:00 +0000",
            "timeEpoch": 1795842000000,
        },
        "isBase64Encoded": is_base64,
    }
    return event if text is None else {**event, "body": text}


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def form(
    *parts: tuple[str, str | None, bytes], boundary: str = "----WebKitFormBoundaryA1b2"
) -> bytes:
    """A form as Chromium writes it; a part is (name, filename or None, content)."""
    lines = []
    for name, filename, content in parts:
        lines.append(f"--{boundary}\r\n".encode())
        more = f'; filename="{filename}"\r\nContent-Type: image/png' if filename is not None else ""
        lines.append(f'Content-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode())
        lines.append(content + b"\r\n")
    return b"".join([*lines, f"--{boundary}--\r\n".encode()])


def _body(body: bytes | str | None) -> tuple[str | None, bool]:
    return (base64_of(body), True) if isinstance(body, bytes) else (body, False)
