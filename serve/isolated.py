"""Isolated: a model that brings code, in a Python process of its own.

User code may have any module names, change the working folder or the environment, crash, or keep
memory: none of it reaches another model, and ending the process gives everything back.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

from contract.errors import BundleError, HostError, RequestError, UserCodeError
from serve.invocation import Answer, Invocation
from serve.settings import ServeSettings, write_settings
from serve.wire import receive, send

log = logging.getLogger(__name__)

LOAD_SECONDS = 360  # SageMaker gives up on a load after this
ANSWER_SECONDS = 3600  # the longest that SageMaker waits for any answer
END_SECONDS = 10


class IsolatedModel:
    """Asks the process, one request at a time, and starts it again after a crash."""

    def __init__(self, settings: ServeSettings) -> None:
        """Load the model. Raises BundleError when that fails, MemoryError when it is too large."""
        self._settings = settings
        self._turn = threading.Lock()
        self._is_closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._facts: dict[str, Any] = {}
        self._start()

    def describe(self) -> dict[str, Any]:
        """What the model said of itself when it was loaded."""
        return self._facts

    def answer(self, invocation: Invocation) -> Answer:
        """What the single-model server answers, errors included, or a reason why it cannot."""
        with self._my_turn():
            if self._process is None or self._process.poll() is not None:
                self._start()
            return self._ask(invocation)

    def close(self) -> None:
        """Kill the process. An answer that is under way fails."""
        self._is_closed = True
        self._kill()
        if self._turn.acquire(timeout=END_SECONDS):  # a thread that waits for bytes sees the end
            self._hang_up()
            self._turn.release()

    def _start(self) -> None:
        self._hang_up()
        self._link, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "serve.child", str(theirs.fileno())],
                env={**os.environ, **write_settings(asdict(self._settings))},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a group of its own: Ctrl-C is for the server to handle
            )
        if self._is_closed:  # while the process was being started
            self._kill()
        try:
            self._facts = self._wait_until_loaded(self._link)
        except BaseException:
            self._kill()
            self._hang_up()
            raise

    def _wait_until_loaded(self, link: socket.socket) -> dict[str, Any]:
        link.settimeout(LOAD_SECONDS)
        try:
            head, _ = receive(link)
        except TimeoutError:
            raise HostError(f"the model is not loaded after {LOAD_SECONDS} s") from None
        except EOFError:
            raise self._ended("loading") from None
        if "error" in head:
            kind = MemoryError if head["out_of_memory"] else BundleError
            raise kind(head["error"])
        link.settimeout(ANSWER_SECONDS)
        facts: dict[str, Any] = head["facts"]
        return facts

    def _ask(self, invocation: Invocation) -> Answer:
        assert self._link is not None
        headers = {**invocation.headers, "X-Request-Id": invocation.request_id}
        try:
            send(self._link, {"headers": headers}, invocation.body)
            head, body = receive(self._link)
        except TimeoutError:
            self._kill()
            raise UserCodeError(500, f"no answer within {ANSWER_SECONDS} s") from None
        except (EOFError, OSError):
            raise self._ended("this request") from None
        answered: dict[str, str] = head["headers"]
        content_type = answered.pop("Content-Type", "application/octet-stream")
        answered.pop("Content-Length", None)
        return Answer(body=body, content_type=content_type, status=head["status"], headers=answered)

    def _ended(self, during: str) -> Exception:
        """Why the process is gone: it closed its side, so it is about to end or has ended."""
        assert self._process is not None
        try:
            status = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
            status = 0
        if self._is_closed:
            return RequestError(503, "the model is being unloaded", 1)
        if status == -signal.SIGKILL:
            return MemoryError(f"the model's process was killed during {during}")
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        text = f"the model's process ended during {during} ({how}); the log says more"
        return BundleError(text) if during == "loading" else UserCodeError(500, text)

    def _kill(self) -> None:
        """The process and what it started are gone when this returns."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(END_SECONDS)

    def _hang_up(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=self._settings.timeout_seconds):
            raise RequestError(503, "the model is busy with earlier requests; try again", 1)
        try:
            yield
        finally:
            self._turn.release()
