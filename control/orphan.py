"""Orphan: what became of a run whose `kennel` is gone without a word, by what its job left."""

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from contract.errors import BundleError, HostError, SpecError
from contract.manifest import read_manifest
from contract.opt_ml import OptMl
from contract.study import STUDY_NAME, Study, read_study
from control.docker_engine import state_of

STOPPING = "Stopping"  # SageMaker's word: the job is still there, and has been told to end


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of a run."""

    status: str
    failure_reason: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0  # 0: nobody counted them


def fate_of(
    folder: Path, kennel: int, jobs: Iterable["Process"], containers: Iterable[str] = ()
) -> Fate:
    """`jobs` are the processes that `kennel` started, `containers` what those look after."""
    gone = f"kennel (process {kennel}) ended without writing a result"
    alive = [f"container {name}" for name in containers if _runs(name)]
    alive += [f"process {one.pid}" for one in jobs if one.is_alive]
    if alive:
        reason = f"{gone}; its job ({alive[0]}) saves what it has and ends"
        return Fate(status=STOPPING, failure_reason=reason)
    paths = OptMl(folder)
    if study := _study_in(paths):
        return _fate_of_study(study, gone)
    if reason := _failure_in(paths):
        return Fate(status="Failed", failure_reason=reason)
    with contextlib.suppress(BundleError):
        metrics = read_manifest(paths.model_dir).metrics
        reason = f"{gone}; its job saved a model and ended"
        return Fate(status="Stopped", failure_reason=reason, metrics=metrics)
    return Fate(status="Failed", failure_reason=f"{gone}, and so did its job")


class Process(NamedTuple):
    """One of this machine's. Numbers are used again, sooner or later."""

    pid: int
    born: int = 0  # by the kernel's clock; 0: not known

    @classmethod
    def of(cls, pid: int) -> "Process":
        """Of one that is there."""
        return cls(pid, _look(pid)[1])

    @property
    def is_alive(self) -> bool:
        """Whether it is still there: not one that took its number, nor what waits to be buried,
        which in a container may never happen.

        Ours does not count: in a container that was started again the numbers begin anew.
        """
        if self.pid <= 0 or self.pid == os.getpid():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # somebody else's
        state, born = _look(self.pid)
        is_same = 0 in (self.born, born) or self.born == born
        return is_same and state not in ("Z", "X")


def _runs(container: str) -> bool:
    try:
        return bool(state_of(container).get("Running"))
    except HostError:  # no engine, no container
        return False


def _look(pid: int) -> tuple[str, int]:
    """Its state, and when it began in ticks of the kernel's clock; empty and 0 without Linux."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", 0
    # Source: proc(5); the name in brackets may hold anything.
    words = told.rpartition(")")[2].split()
    return words[0], int(words[19])


def _fate_of_study(study: Study, gone: str) -> Fate:
    status, best = str(study.status), study.best_trial
    reason: str | None = f"{gone}; its study ended: {study.reason or 'it gave no reason'}"
    if status == "Completed":
        reason = None
    elif status == "InProgress":
        status, reason = "Failed", f"{gone}, and so did its study; the same command continues it"
    metrics = best.metrics if best else {}
    return Fate(
        status=status, failure_reason=reason, metrics=metrics, seconds=round(study.seconds, 1)
    )


def _study_in(paths: OptMl) -> Study | None:
    path = paths.output_data_dir / STUDY_NAME
    try:
        return read_study(path) if path.is_file() else None
    except SpecError:  # of another version
        return None


def _failure_in(paths: OptMl) -> str:
    try:
        text = paths.failure_file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return " ".join(text.split())
