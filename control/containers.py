"""Containers: those of one job or server, looked after together as if they were one child."""

import contextlib
import math
import signal
import subprocess
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, Self

from contract.errors import HostError
from control.child import KILLED_SECONDS, Child, start_child
from control.docker_engine import docker, explain, state_of

OTHERS_SECONDS = 30.0  # what is left to the other hosts once one has failed


class Containers:
    """Each is attached to a `docker run` of ours; `kill` removes every one of them.

    The first that fails takes the others along, as a job of SageMaker fails with any of its hosts.
    """

    def __init__(self, *, grace_seconds: float) -> None:
        self.culprit: str | None = None  # the first that failed by itself
        self.complaint: str | None = None  # the engine's words, when that one could not start
        self._grace_seconds = grace_seconds
        self._clients: dict[str, Child] = {}
        self._present: list[str] = []  # not removed yet
        self._codes: dict[str, int] = {}  # of those that have ended
        self._stop: Child | None = None
        self._stop_seconds = grace_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def start(
        self,
        name: str,
        command: Sequence[str],
        output: IO[str] | int | None = None,
        *,
        extra: Mapping[str, str] | None = None,
    ) -> Child:
        """Start one whose `docker run` is `command`; returns the client, for its streams.

        `output` is a file for both streams, PIPE for two pipes, None for our own; `extra` is the
        client's environment besides ours.
        """
        both = None if output is None else subprocess.STDOUT
        stderr = subprocess.PIPE if output == subprocess.PIPE else both
        self._clients[name] = start_child(command, extra=extra, stdout=output, stderr=stderr)
        self._present.append(name)
        return self._clients[name]

    @property
    def pids(self) -> dict[str, int]:
        """Of the clients, by the names of their containers, which may outlive them."""
        return {name: client.pid for name, client in self._clients.items()}

    def poll(self) -> int | None:
        """The exit code, once all have ended: the first failed one's, or 0."""
        for name in self._running():
            if self._clients[name].poll() is not None:
                self._note_end(name)
        if not self._running():
            return self._codes[self.culprit] if self.culprit else max(self._codes.values())
        if self.culprit and self._stop is None:
            self._stop_seconds = min(self._grace_seconds, OTHERS_SECONDS)
            self.terminate()
        elif self._stop is not None and self._stop.poll() is not None:
            self.terminate()  # one was not there yet when it was asked to stop
        return None

    def terminate(self) -> None:
        """SIGTERM to all; the engine sends SIGKILL when the grace is over."""
        self._stop = start_child(
            ("docker", "stop", "-t", str(math.ceil(self._stop_seconds)), *self._running()),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        """End and remove all of them. Clients first: none may start what was just removed."""
        for child in (*self._clients.values(), *([self._stop] if self._stop else [])):
            child.kill()
            child.wait(KILLED_SECONDS)
        while self._present:
            # Never made, or the engine is gone: then nobody can remove it.
            with contextlib.suppress(HostError):
                docker("rm", "--force", "--volumes", self._present.pop())

    def wait(self, timeout: float | None = None) -> int:
        """As poll, once all have ended."""
        for client in self._clients.values():
            client.wait(timeout)
        code = self.poll()
        return -signal.SIGKILL if code is None else code

    def _running(self) -> list[str]:
        return [name for name in self._clients if name not in self._codes]

    def _note_end(self, name: str) -> None:
        state = state_of(name)
        # Of one that still runs, the client has lost sight: the client's code says so.
        ended = state.get("Status") in ("exited", "created")
        code = int(state["ExitCode"] if ended else self._clients[name].returncode)
        # 128 + n is how the engine reports signal n; a child of ours has -n.
        self._codes[name] = 128 - code if 128 < code < 128 + signal.NSIG else code
        if code and self.culprit is None and self._stop is None:
            self.culprit = name
            self.complaint = explain(str(state.get("Error", ""))) or None
