"""Evaluate: all rules of a job, live beside it or afterwards, to one exit code."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from contract.errors import HostError
from contract.rules import RuleSpec
from debugger.folders import S3
from debugger.ledger import Emit, Ledger
from debugger.profile_watch import ProfileWatch
from debugger.rules.watch import Limit, TensorWatch
from debugger.stop import StopSignal

log = logging.getLogger(__name__)

POLL_SECONDS, POLL_SECONDS_S3 = 1.0, 5.0
LAST_SECONDS = 60.0  # for what is left when the job has ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be evaluated."""

    source: str  # a folder, or an s3:// prefix
    specs: tuple[RuleSpec, ...]
    out: Path
    follow: bool = False  # the job still runs
    compat: bool = False  # the profiler's rules count as AWS does, mistakes included
    steps: range | None = None  # global steps to look at; None: all
    stop_file: Path | None = None  # follow: when it appears, the job has ended


def evaluate(request: Request, emit: Emit) -> int:
    """Evaluate rules; `emit` gets events. Returns the exit code: 0, 1 found, 3 could not be judged.

    Raises SpecError: a rule is told something that makes no sense; nothing was read then.
    """
    over_tensors = [one for one in request.specs if one.kind is None or one.kind.scope == "tensors"]
    over_profile = [one for one in request.specs if one not in over_tensors]
    ledger = Ledger(request.out, request.specs, emit)
    profile = ProfileWatch(Path(request.source), over_profile, request.out, compat=request.compat)
    with (
        StopSignal() as stop,
        TensorWatch(
            request.source, over_tensors, is_awaited=request.follow, steps=request.steps
        ) as tensors,
    ):
        ledger.write_all()
        if request.follow:
            stop.file = request.stop_file
            _follow(tensors, profile, ledger, stop)
        limit = Limit(seconds=LAST_SECONDS, ends_at=time.monotonic() + LAST_SECONDS)
        if over_tensors:
            tensors.finish(limit if request.follow else None)
        if request.follow and over_profile:  # its pages take a while
            _tell(tensors, profile, ledger)
        profile.finish()
        for result in (*tensors.results, *profile.results):
            ledger.tell(result, is_final=True)
    return ledger.exit_code()


def _follow(tensors: TensorWatch, profile: ProfileWatch, ledger: Ledger, stop: StopSignal) -> None:
    """Look at what is new until the job has ended, or somebody says so."""
    seconds = POLL_SECONDS_S3 if tensors.source.startswith(S3) else POLL_SECONDS
    while not stop.is_told:
        try:
            ends = [one for one in (tensors.has_ended(), profile.has_ended()) if one is not None]
            if ends and all(ends):
                return
            tensors.poll()
            profile.poll()
        except (HostError, OSError) as error:  # a storage that does not answer now
            log.warning("%s; it is tried again", error)
        _tell(tensors, profile, ledger)
        stop.pause(seconds)


def _tell(tensors: TensorWatch, profile: ProfileWatch, ledger: Ledger) -> None:
    for result in (*tensors.results, *profile.results):
        ledger.tell(result)
