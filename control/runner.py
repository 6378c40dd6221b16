"""Runner: what every place to run a job offers. The same JobSpec goes to each of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from contract.job import JobResult
from control.debug_spec import DebugSpec
from control.job_spec import JobSpec
from control.rule_watch import rules_command


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
    hook: Mapping[str, Any] | None = None  # debughookconfig.json, where one is written
    profiler: Mapping[str, Any] | None = None  # profilerconfig.json
    rules: tuple[Mapping[str, Any], ...] = ()
    watch: tuple[str, ...] = ()  # the command that evaluates them meanwhile
    max_run_seconds: int

    def to_json(self) -> dict[str, Any]:
        """Plain data for `-o json`."""
        return asdict(self)


def debug_plan(debug: DebugSpec, folder: Path) -> dict[str, Any]:
    """What every runner does with the Debugger's part of a job, as fields of a Plan."""
    return {
        "hook": debug.hook.to_json() if debug.hook else None,
        "profiler": debug.profiler.to_json() if debug.profiler else None,
        "rules": tuple(rule.to_json() for rule in debug.rules),
        "watch": rules_command(str(folder), follow=True) if debug.rules else (),
    }


class Runner(Protocol):
    """A place to run jobs: a process or containers here, later AWS."""

    def plan(self, spec: JobSpec) -> Plan:
        """What `run` would do. Pure: touches no disk, starts nothing."""

    def run(self, spec: JobSpec, folder: Path | None = None) -> JobResult:
        """Run the job to its end, in a new folder or where an earlier session left off.

        Raises KennelError only when it could not even be started.
        """
