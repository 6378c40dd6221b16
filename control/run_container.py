"""The job in containers: `docker run IMAGE train` for each host, /opt/ml mounted from the run."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

from contract.errors import HostError, UsageError
from contract.job import JobResult
from contract.opt_ml import DEFAULT_BASE, OptMl, write_job
from control.child import Child, Watch, counting_signals, supervise
from control.containers import Containers
from control.docker_engine import (
    Engine,
    Gpus,
    bind,
    caller_options,
    docker,
    gpu_options,
    require_image,
)
from control.job_spec import JobSpec
from control.leash import leashed
from control.outcome import Outcome, carry_out, channel_folders
from control.rule_watch import DEBUGGER, RuleWatch
from control.runner import Plan, debug_plan
from control.runs import LOG_NAME, RUNS, note_job
from control.staging import folders_of, staged
from control.terminal import complain
from control.transcript import Transcript

IMAGE = "kennel-train"
MOST_HOSTS = 20  # one machine has to carry them all
# The engine's 64 MB end the first data loader with a few workers. A limit, not a reservation.
SHM_SIZE = "2g"
SIZE = re.compile(r"[1-9]\d*[bkmg]?", re.IGNORECASE)
LABEL = "kennel.run"  # `docker ps --filter label=kennel.run` finds what a killed kennel left


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRunner:
    """Runs jobs as containers of this machine's engine: one a host, on a network of their own.

    The run's folder is the first host's /opt/ml, so that it looks as a process would leave it;
    the other hosts have theirs below `hosts/`.
    """

    engine: Engine
    image: str = IMAGE
    command: tuple[str, ...] = ("train",)  # what the image is told
    num_hosts: int = 1
    gpus: Gpus = "auto"
    shm_size: str = SHM_SIZE  # of each container, as docker reads it
    runs: Path = RUNS
    echo: TextIO = field(default_factory=lambda: sys.stdout)  # where the job's lines are shown
    grace_seconds: float = 120.0  # from SIGTERM to SIGKILL, as SageMaker does
    environment: Mapping[str, str] = field(default_factory=dict)  # of the job, besides our own
    debugger: tuple[str, ...] = DEBUGGER

    def __post_init__(self) -> None:
        if not 1 <= self.num_hosts <= MOST_HOSTS:
            raise UsageError(f"--instances: expected 1 to {MOST_HOSTS}, got {self.num_hosts}")
        if not SIZE.fullmatch(self.shm_size):
            raise UsageError(f"--shm-size: expected e.g. 512m or 2g, got {self.shm_size!r}")

    @property
    def hosts(self) -> tuple[str, ...]:
        """SageMaker's names; the first leads and leaves the result."""
        return tuple(f"algo-{number + 1}" for number in range(self.num_hosts))

    def plan(self, spec: JobSpec) -> Plan:
        """What `run` would do, with NNNN for the run's number."""
        return self._plan_in(self.runs / f"NNNN-{spec.name}", spec, f"kennel-NNNN-{spec.name}")

    def run(self, spec: JobSpec, folder: Path | None = None) -> JobResult:
        """Run the job to its end. Its folder keeps run.json and train.log besides /opt/ml's own.

        With `folder`, an earlier session of the same job goes on there. Raises UsageError when
        the engine lacks the image.
        """
        require_image(self.image)
        train = partial(self._train, spec=spec)
        with staged(spec.channels, self.runs):
            return carry_out(spec, self.runs, self.echo, train, folder=folder)

    def _plan_in(self, folder: Path, spec: JobSpec, network: str) -> Plan:
        """`network` is its name; each container's is `NETWORK-HOST`."""
        first, *others = (self._command(folder, spec, network, host) for host in self.hosts)
        return Plan(
            folder=str(folder),
            before=(("docker", "network", "create", f"--label={LABEL}={folder.name}", network),),
            command=first,
            beside=tuple(others),
            after=(
                ("docker", "rm", "--force", *(f"{network}-{host}" for host in self.hosts)),
                ("docker", "network", "rm", network),
            ),
            environment=self.environment,
            hyperparameters=spec.hyperparameters,
            channels={name: str(path) for name, path in spec.channels.items()},
            max_run_seconds=spec.max_run_seconds,
            **debug_plan(spec.debug, folder),
        )

    def _command(self, folder: Path, spec: JobSpec, network: str, host: str) -> tuple[str, ...]:
        data = OptMl(DEFAULT_BASE).data_dir
        return (
            *("docker", "run", "--pull=never", f"--name={network}-{host}"),
            *(f"--label={LABEL}={folder.name}", f"--network={network}"),
            *(f"--hostname={host}", f"--network-alias={host}", f"--shm-size={self.shm_size}"),
            *caller_options(self.engine),
            *gpu_options(self.engine, self.gpus),
            f"--env=TRAINING_JOB_NAME={spec.name}",
            # Without a value: docker takes it from its own environment, where `ps` shows none.
            *(f"--env={name}" for name in self.environment),
            bind(self._base(folder, host), str(DEFAULT_BASE), writable=True),
            # The run's own input/data holds links, which lead nowhere in there. This hides them,
            # and the engine makes its mount points here instead of in the run's folder.
            f"--tmpfs={data}:size=1m",
            *(
                bind(path, str(data / name / path.name if path.is_file() else data / name))
                for name, path in folders_of(spec.channels, self.runs).items()
            ),
            *(self.image, *self.command),
        )

    def _base(self, folder: Path, host: str) -> Path:
        return folder if host == self.hosts[0] else folder / "hosts" / host

    def _train(self, folder: Path, spec: JobSpec) -> Outcome:
        """Lay the job out for each host, start the containers, copy what they say, wait."""
        channels = channel_folders(folder, folders_of(spec.channels, self.runs))
        for host in self.hosts:
            write_job(
                self._base(folder, host).resolve(),
                spec.hyperparameters,
                channels,
                hosts=self.hosts,
                current_host=host,
                mounted_at=DEFAULT_BASE,
                hook=spec.debug.hook,
                profiler=spec.debug.profiler,
            )
        # Run folders of two projects may have the same name; containers of one engine may not.
        network = f"kennel-{folder.name}-{os.urandom(3).hex()}"
        plan = self._plan_in(folder, spec, network)
        with (
            counting_signals() as signals,
            _network(plan),
            Transcript(folder / LOG_NAME) as log,
            self._rules_of(folder, spec, log) as rules,
            Containers(grace_seconds=self.grace_seconds) as containers,
        ):
            for host, command in zip(self.hosts, (plan.command, *plan.beside), strict=True):
                # A client that is told to end passes it on to its container.
                client = containers.start(
                    f"{network}-{host}", leashed(command), subprocess.PIPE, extra=self.environment
                )
                note_job(folder, [*containers.pids.values()], [*containers.pids])
                self._copy(client, log, host)
            watch = Watch(
                signals=signals,
                limit_seconds=plan.max_run_seconds,
                grace_seconds=self.grace_seconds,
                wants_stop=rules.wants_stop,
            )
            ending = supervise(containers, watch)
            log.drain()
            bases = tuple(self._base(folder, host) for host in self.hosts)
            verdict = rules.finish(bases, signals)
        culprit = (containers.culprit or self.hosts[0]).removeprefix(f"{network}-")
        return Outcome(
            ending=ending,
            metrics=log.metrics,
            base=self._base(folder, culprit),
            host=culprit if self.num_hosts > 1 else None,
            complaint=containers.complaint,
            rules=verdict,
        )

    def _rules_of(self, folder: Path, spec: JobSpec, log: Transcript) -> RuleWatch:
        """They speak among the job's lines."""
        say = partial(log.note, echo=self.echo)
        return RuleWatch(folder, spec.debug.rules, say, self.debugger)

    def _copy(self, client: Child, log: Transcript, host: str) -> None:
        speaker = f"{host} | " if self.num_hosts > 1 else ""
        if client.stdout:
            log.copy(client.stdout, self.echo, speaker=speaker)
        if client.stderr:
            log.copy(client.stderr, sys.stderr, speaker=speaker)


@contextlib.contextmanager
def _network(plan: Plan) -> Iterator[None]:
    """The network of a plan, for as long as the block runs."""
    create, remove = plan.before[0], plan.after[-1]
    docker(*create[1:])
    try:
        yield
    finally:
        try:
            docker(*remove[1:])
        except HostError as error:
            complain(error)  # what became of the job matters more
