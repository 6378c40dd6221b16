"""Process: one server with all its children: started, stopped for a while, measured, ended."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.load import ask

TICKS = os.sysconf("SC_CLK_TCK")
READY_SECONDS = 300
STOP_SECONDS = 15
MIB = 1024 * 1024


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


class Process:
    """A program in a process group of its own, so that none of its children is forgotten."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.log = name, folder / "log.txt"
        self._started = time.perf_counter()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                list(command),
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self, port: int, request: bytes) -> float:
        """Seconds from the start until `request` is answered 200. Raises SystemExit."""
        while time.perf_counter() - self._started < READY_SECONDS:
            if self._process.poll() is not None:
                break
            try:
                if ask(port, request)[0] == 200:
                    return time.perf_counter() - self._started
            except OSError:
                pass
            time.sleep(0.05)
        tail = self.log.read_text(errors="replace").splitlines()[-15:]
        self.stop()
        raise SystemExit("\n".join([f"{self.name} does not answer; the end of its log:", *tail]))

    def freeze(self) -> None:
        """Stop all of it where it is: a server that is not measured takes no processor time."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        os.killpg(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End all of it. May be repeated."""
        for number in (signal.SIGCONT, signal.SIGTERM, signal.SIGKILL):
            if not self._pids():
                break
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                break
            self._wait(STOP_SECONDS if number == signal.SIGTERM else 0.2)
        self._process.wait(timeout=STOP_SECONDS)

    def cpu_seconds(self) -> float:
        """User and system time of all its living processes so far."""
        ticks = 0
        for pid in self._pids():
            fields = _stat(pid)
            ticks += int(fields[11]) + int(fields[12]) if fields else 0
        return ticks / TICKS

    def memory_mib(self) -> float:
        """PSS of all its processes: pages that several share count once."""
        total = 0
        for pid in self._pids():
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
            except OSError:
                continue
            total += sum(
                int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")
            )
        return total * 1024 / MIB

    def _pids(self) -> list[int]:
        """Every living process of the group."""
        numbers = (int(item) for item in os.listdir("/proc") if item.isdigit())
        return [
            pid
            for pid in numbers
            if (fields := _stat(pid)) and int(fields[2]) == self._process.pid and fields[0] != "Z"
        ]

    def _wait(self, seconds: float) -> None:
        deadline = time.perf_counter() + seconds
        while self._pids() and time.perf_counter() < deadline:
            self._process.poll()
            time.sleep(0.05)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, parent, group, ...; none when gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
