"""Servers that we start: `python -m serve` on a bundle, ready when /ping says so."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from contract.errors import HostError, UsageError
from control.child import POLL_SECONDS, Signals, Stoppable, our_variables, start_child, stop
from control.client import is_ready

LOOPBACK = "127.0.0.1"
ANY_HOST = frozenset({"", "0.0.0.0"})
READY_SECONDS = 180.0  # loading, the probe and the warm-up of a large network on a slow disk
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPlan:
    """How the server of one bundle is started."""

    bundle: Path
    port: int
    host: str = LOOPBACK  # who may ask: only this machine, unless a person says otherwise

    @property
    def command(self) -> tuple[str, ...]:
        """The whole command."""
        where = ("--host", self.host, "--port", str(self.port))
        return (sys.executable, "-m", "serve", "--bundle", str(self.bundle), *where)

    @property
    def url(self) -> str:
        """Where it will answer."""
        here = self.host in ANY_HOST
        return f"http://{LOOPBACK if here else self.host}:{self.port}"

    def start(self, output: IO[str] | None = None) -> Stoppable:
        """Start it; its output goes to `output` or is inherited."""
        return start_child(
            self.command,
            extra={"KENNEL_METRICS": os.environ.get("KENNEL_METRICS", "true"), **our_variables()},
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
        )


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def check_address(plan: ServerPlan) -> None:
    """Raises HostError when we cannot listen there, UsageError when it is no port."""
    if not 1 <= plan.port <= 65535:
        raise UsageError(f"--port: expected 1 to 65535, got {plan.port}")
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((plan.host, plan.port))
        except PermissionError:
            raise HostError(f"port {plan.port} needs root: give a port from 1024 on") from None
        except OSError as error:
            reason = error.strerror or error
            raise HostError(
                f"cannot listen on {plan.host}:{plan.port} ({reason}): give another --port"
            ) from None


def wait_until_ready(server: Stoppable, plan: ServerPlan, signals: Signals | None = None) -> bool:
    """True when the server answers; False when it ended, a signal came or time is up."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None or (signals and signals.count):
            return False
        if is_ready(plan.url):
            return True
        time.sleep(POLL_SECONDS)
    return False


@contextlib.contextmanager
def running_server(bundle: Path) -> Iterator[str]:
    """`running` for a bundle, as a process on a free port."""
    with running(ServerPlan(bundle=bundle, port=free_port())) as url:
        yield url


@contextlib.contextmanager
def running(plan: ServerPlan) -> Iterator[str]:
    """Start a server and yield its address; it is stopped afterwards.

    Raises HostError, with the server's own reason, when it does not come up.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        server = plan.start(output)
        try:
            if not wait_until_ready(server, plan):
                raise HostError(f"the server of {plan.bundle} did not start: {_reason(output)}")
            yield plan.url
        finally:
            stop(server, STOP_SECONDS)


def _reason(output: IO[str]) -> str:
    """Why a server gave up: its first critical log line, otherwise its last line."""
    output.seek(0)
    lines = [line.strip() for line in output if line.strip()]
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            entry = json.loads(line)
            if entry["level"] == "critical":
                return str(entry["message"])
    return lines[-1] if lines else "it said nothing"
