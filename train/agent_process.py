"""AgentProcess: the host agent, seen from the job's first process on a host."""

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from contract.errors import KennelError
from contract.job import TrainingJob
from train.profile_place import ProfilePlace
from train.stop import Stop
from train.world import LOCAL_RANK

log = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parents[1]
_END_SECONDS = 30.0  # for the agent to write the trace of a long run


class AgentProcess:
    """Started at once; ends with `end`, or by itself when this process does."""

    def __init__(self, place: ProfilePlace, interval_ms: int) -> None:
        """Raises OSError: it cannot be started, or the folder cannot be used."""
        self._place = place
        place.clear()
        place.system.mkdir(parents=True, exist_ok=True)
        words = {
            "--folder": str(place.folder.resolve()),
            "--node": place.node,
            "--interval-ms": str(interval_ms),
            "--parent": str(os.getpid()),
        }
        # The same code as ours; -P: not what is called `train` in the working folder.
        path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-P", "-m", "train.host_agent"]
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            [*command, *(word for pair in words.items() for word in pair)],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            process_group=0,  # what ends the job's group leaves it its last second
        )

    @property
    def pid(self) -> int:
        """Of the agent; 0 once it has ended."""
        return 0 if self._process is None else self._process.pid

    def end(self) -> None:
        """No more follows: the profile is complete afterwards. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it is gone
            process.stdin.write(b".")
            process.stdin.close()
        try:
            code = process.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait(timeout=_END_SECONDS)
        if code:
            log.warning("warning: the host agent ended with exit code %d", code)
            from train.profile_end import finish_profile

            with contextlib.suppress(OSError, ValueError, KennelError):
                finish_profile(self._place)


@contextmanager
def host_agent(
    job: TrainingJob, environment: Mapping[str, str] = os.environ
) -> Iterator[AgentProcess | None]:
    """The agent of this host while the job runs; None where the job does not ask for one.

    Of several processes on a host only the one that starts the others has it.
    """
    place = ProfilePlace.of(job)
    if place is None or job.profiler is None or LOCAL_RANK in environment:
        yield None
        return
    agent = None
    try:
        agent = AgentProcess(place, job.profiler.interval_ms)
    except OSError as error:
        log.warning("warning: the job is not profiled, the host agent did not start: %s", error)
    try:
        yield agent
    finally:
        if agent is not None:
            with Stop().on_signals():  # the job is over; a signal finds nothing to stop any more
                agent.end()
