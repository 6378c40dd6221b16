"""Runner: what every place to run a job offers. The same JobSpec goes to each of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from contract.job import JobResult
from control.job_spec import JobSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a runner would do, as plain data: what `--show` prints."""

    folder: str  # of the run; NNNN stands for the next free number
    before: tuple[tuple[str, ...], ...] = ()  # commands, in this order
    command: tuple[str, ...]
    beside: tuple[tuple[str, ...], ...] = ()  # those of the further hosts, at the same time
    after: tuple[tuple[str, ...], ...] = ()  # whatever happened in between
    environment: Mapping[str, str] = field(default_factory=dict)  # on top of the inherited one
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    channels: Mapping[str, str] = field(default_factory=dict)
    max_run_seconds: int

    def to_json(self) -> dict[str, Any]:
        """Plain data for `-o json`."""
        return asdict(self)


class Runner(Protocol):
    """A place to run jobs: a process or containers here, later AWS."""

    def plan(self, spec: JobSpec) -> Plan:
        """What `run` would do. Pure: touches no disk, starts nothing."""

    def run(self, spec: JobSpec, folder: Path | None = None) -> JobResult:
        """Run the job to its end, in a new folder or where an earlier session left off.

        Raises KennelError only when it could not even be started.
        """
