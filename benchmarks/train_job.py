"""Job: one training run as a process that can stop where it is; only its own time counts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from benchmarks.layout import cpu_only
from benchmarks.servers import ROOT

YARDSTICK = ROOT / "benchmarks" / "yardstick.py"
LIMIT_SECONDS = 3600.0  # of its own time
_POLL_SECONDS = 0.02


class Job:
    """Lines of its log get the time at which they came, in seconds since the start.

    While it is stopped (SIGSTOP, all its children too) the clock stands still.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        cwd: Path = ROOT,
    ) -> None:
        """Starts it; `environment` is added to ours, which has no GPU."""
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.log = name, folder / f"{name}.log"
        self.lines: list[tuple[float, str]] = []
        self.cpu_seconds = 0.0  # of it and its children, known at the end
        self.peak_mib = 0.0  # resident, of its largest process, known at the end
        self._num_read = 0
        self._before = 0.0
        with self.log.open("wb") as log, self.log.with_suffix(".err").open("wb") as errors:
            self._process = subprocess.Popen(
                list(command),
                cwd=cwd,
                env={**cpu_only(), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=errors,
                start_new_session=True,
            )
        self._since: float | None = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Its own time so far."""
        running = 0.0 if self._since is None else time.perf_counter() - self._since
        return self._before + running

    @property
    def has_ended(self) -> bool:
        """True once it is gone."""
        return self._process.returncode is not None

    def time_of(self, mark: str) -> float:
        """When the first line that begins with `mark` came. Raises SystemExit."""
        for seconds, line in self.lines:
            if line.startswith(mark):
                return seconds
        raise SystemExit(f"{self.name} has no line '{mark}'; see {self.log}")

    def run_until(self, mark: str) -> float:
        """Go on until a line begins with `mark`, then stop there; its time. Raises SystemExit."""
        self._thaw()
        while not any(line.startswith(mark) for _, line in self.lines):
            if self.has_ended:
                break
            self._look()
        self.freeze()
        return self.time_of(mark)

    def run_to_end(self) -> Self:
        """Go on until it has ended. Raises SystemExit when it failed."""
        self._thaw()
        while not self.has_ended:
            self._look()
        if self._process.returncode:
            code = self._process.returncode
            raise SystemExit(f"{self.name} ended with {code}; see {self.log} and its .err")
        return self

    @classmethod
    def run(
        cls,
        name: str,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        cwd: Path = ROOT,
    ) -> Self:
        """One that has run to its end. Raises SystemExit when it failed."""
        job = cls(name, command, folder, environment, cwd=cwd)
        try:
            return job.run_to_end()
        finally:
            job.stop()

    def freeze(self) -> None:
        """Stop where it is: it takes no processor time."""
        if self._since is not None and not self.has_ended:
            os.killpg(self._process.pid, signal.SIGSTOP)
            self._before, self._since = self.seconds, None

    def stop(self) -> None:
        """End it, if it has not ended. May be repeated."""
        if not self.has_ended:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._see_end(0)

    def _thaw(self) -> None:
        if self._since is None and not self.has_ended:
            self._since = time.perf_counter()
            os.killpg(self._process.pid, signal.SIGCONT)

    def _look(self) -> None:
        """Wait a little, then see what is new."""
        time.sleep(_POLL_SECONDS)
        self._see_end(os.WNOHANG)
        if self._since is not None and not self.has_ended:
            # Once more: a child that was being forked at the stop has been seen to stay stopped.
            os.killpg(self._process.pid, signal.SIGCONT)
        if not self.has_ended and self.seconds > LIMIT_SECONDS:
            self.stop()
            raise SystemExit(f"{self.name} takes more than {LIMIT_SECONDS:g} s; see {self.log}")
        text = self.log.read_text(encoding="utf-8", errors="replace")
        whole = text[: text.rfind("\n") + 1].splitlines()
        self.lines += [(self.seconds, line) for line in whole[self._num_read :]]
        self._num_read = len(whole)

    def _see_end(self, options: int) -> None:
        number, status, usage = os.wait4(self._process.pid, options)
        if number:
            self._before, self._since = self.seconds, None
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self.cpu_seconds = usage.ru_utime + usage.ru_stime
            self.peak_mib = usage.ru_maxrss / 1024


def our_command(channels: Mapping[str, Path], out: Path, values: Mapping[str, object]) -> list[str]:
    """`python -m train` with these channels and hyperparameters; everything goes below `out`."""
    command = [sys.executable, "-m", "train"]
    for name, path in channels.items():
        command += [f"--{name}", str(path)]
    for name, value in values.items():
        command += [f"--{name}", str(value)]
    return [*command, "--model-dir", str(out / "model"), "--output-dir", str(out / "output")]


def yardstick_command(
    channels: Mapping[str, Path], out: Path, arch: str, epochs: int, *more: str
) -> list[str]:
    """The ordinary script on the same pictures and weights."""
    named = {
        "--train": channels["train"],
        "--valid": channels["validation"],
        "--weights": channels["pretrained"],
        "--save": out / "yardstick.pth",
        "--arch": arch,
        "--epochs": epochs,
    }
    pairs = [str(word) for pair in named.items() for word in pair]
    return [sys.executable, str(YARDSTICK), *pairs, *more]
