"""AWS for tests: moto's server over HTTP, and in front of it what moto has not got.

The front records every call, lets a call fail as AWS would (throttled, denied, over a quota),
lets states pass one after another (moto's jobs are done at once), answers operations that moto
does not know from the test's own data, and hands InvokeEndpoint to a real server of ours.
"""

import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aws_handler import WAIT_SECONDS, Answer, Handler, Refusal, Reply, Script
from aws_operations import Seen
from buckets import moto_server
from serving import REPOSITORY, free_port

ACCOUNT = "123456789012"  # moto's
REGION = "us-east-1"


@dataclass
class Aws:
    """Running. `environment` is that of somebody who has an account."""

    url: str
    environment: dict[str, str]
    script: Script = field(default_factory=Script)

    @property
    def seen(self) -> list[Seen]:
        """Every call, in order."""
        return self.script.seen

    def fail(
        self, operation: str, code: str, message: str = "", *, status: int = 400, times: int = 1
    ) -> None:
        """Let the next `times` calls of `operation` fail. boto3 tries 429 and 5xx again."""
        waiting = self.script.failures.setdefault(operation, deque())
        waiting.extend([(code, message, status)] * times)

    def answer(self, operation: str, answer: Answer | dict[str, Any]) -> None:
        """Answer a JSON operation instead of moto, from its parameters. Raise Refusal to refuse."""
        self.script.answers[operation] = answer if callable(answer) else lambda _: answer

    def stages(self, operation: str, *changes: dict[str, Any]) -> None:
        """Change moto's answers: the first by the first change, ... and the last one stays."""
        self.script.stages[operation] = deque(changes)

    def after(self, operation: str, act: Callable[[dict[str, Any]], object]) -> None:
        """Let `act` happen once moto has answered a call, before its caller hears of it."""
        self.script.after[operation] = act

    def serve_endpoints(self, url: str, many: str = "") -> None:
        """InvokeEndpoint asks this server: /invocations, or /models/NAME/invoke with a target.

        `many`: another one over a folder of models, for those with a target.
        """
        self.script.runtime, self.script.many = url.rstrip("/"), many.rstrip("/")

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
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running = Aws(url=f"http://127.0.0.1:{server.server_address[1]}", environment={})
    running.environment = _environment(home, running.url)
    server.script, server.moto = running.script, urlsplit(moto_url).netloc  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join(WAIT_SECONDS)
        server.server_close()


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
