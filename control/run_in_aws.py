"""`kennel run --on aws`, and elsewhere in AWS: what it costs, what is sent, who looks on."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TextIO

from contract.errors import SpecError, UsageError
from contract.job import JobResult
from control.aws.call import Call, calls_json
from control.aws.ec2.instance_plan import InstancePlan
from control.aws.ec2.instance_request import without_script
from control.aws.ec2.run_ec2 import EC2_INSTANCE, Ec2Runner
from control.aws.job.ending import bill_line
from control.aws.job.run_sagemaker import TRAINING_JOB, SageMakerRunner
from control.aws.job.starting import Asked, check_started
from control.aws.money import Cost, agree
from control.aws.tuning.run_tuning import TUNING_JOB
from control.aws_place import AwsPlace
from control.job_spec import NAME_PATTERN, JobSpec
from control.parser import Parser
from control.place import AWS, EC2, refuse
from control.runs import LOG_NAME, RUNS, Run, find_run
from control.terminal import say, say_json

MOST_INSTANCES = 100
LAST_LINES = 10  # of the log of a job that failed
FLAGS = ("instance_type", "spot", "role", "yes")  # that nothing on this machine has


class PlanInAws(Protocol):
    """What is sent for one job, and what it may cost."""

    @property
    def calls(self) -> Sequence[Call]:
        """In the order in which they are sent."""

    @property
    def costs(self) -> Sequence[Cost]:
        """At worst."""

    @property
    def notes(self) -> Sequence[str]:
        """What the file says and the place has not."""


class RunnerInAws(Protocol):
    """A place in AWS that runs jobs. The run's folder looks as a local one's in the end."""

    def plan(self, spec: JobSpec) -> Any:
        """A PlanInAws, which `run` takes again."""

    def check(self, plan: Any) -> None:
        """Before anybody agrees to what it costs. Raises UsageError: it cannot be sent."""

    def run(self, spec: JobSpec, folder: Path | None = None, plan: Any = None) -> JobResult:
        """To its end. Raises DetachedError after Ctrl-C: the job goes on."""

    def attach(self, run: Run) -> JobResult:
        """Look on again, and fetch what it left."""

    def stop(self, run: Run) -> bool:
        """Ask for its end, at once; False when it has ended already."""

    def asks(self, run: Run) -> Asked:
        """What `attach` asks, for --show. Asks nobody."""

    def stopping(self, run: Run) -> Asked:
        """What `stop` sends, for --show. Asks nobody."""


# --on -> who runs it there; and the same by the kind that a run's run.json has.
RUNNERS: Mapping[str, Callable[[TextIO], RunnerInAws]] = {
    AWS: lambda echo: SageMakerRunner(echo=echo),
    EC2: lambda echo: Ec2Runner(echo=echo),
}
KINDS: Mapping[str, str] = {TRAINING_JOB: AWS, EC2_INSTANCE: EC2}


def add_aws_flags(parser: Parser) -> None:
    """What the command line says on top of [aws], for commands that run jobs there."""
    parser.add_argument("--instance-type", metavar="TYPE", help="in AWS, on top of the file's")
    parser.add_argument(
        "--spot",
        action="store_const",
        const=True,
        help="in AWS: spare machines at a third of the price, with checkpoints",
    )
    parser.add_argument("--role", metavar="ROLE", help="in AWS: the job's role, a name or an ARN")
    parser.add_argument(
        "--yes", action="store_const", const=True, help="in AWS: do not ask whether it may cost"
    )


def place_on_top(arguments: argparse.Namespace, spec: JobSpec) -> JobSpec:
    """The job with what the flags say of its place. Raises UsageError, SpecError."""
    refuse(arguments, ("gpus", "shm_size"), "in AWS the instance type decides about that")
    if spec.aws is None:
        raise SpecError(f"job {spec.name} has no table [aws]")
    count = getattr(arguments, "instances", None)
    if count is not None and not 1 <= count <= MOST_INSTANCES:
        raise UsageError(f"--instances: expected 1 to {MOST_INSTANCES}, got {count}")
    changes = {
        "image": arguments.image,
        "instance_type": arguments.instance_type,
        "instance_count": count,
        "spot": arguments.spot,
        "role": arguments.role,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    if arguments.on == EC2:
        return _instance_on_top(spec, spec.aws, given)
    return replace(spec, aws=replace(spec.aws, **given))


def _instance_on_top(spec: JobSpec, aws: AwsPlace, given: Mapping[str, Any]) -> JobSpec:
    """The same for a machine of one's own, which is described by [ec2]."""
    if given.get("instance_count", 1) != 1:
        raise UsageError("--instances: a job on EC2 has one machine; several need --on aws")
    ours = {name: given[name] for name in ("instance_type", "spot", "role") if name in given}
    here = {name: given[name] for name in ("image", "instance_count") if name in given}
    return replace(spec, aws=replace(aws, **here), ec2=replace(spec.ec2, **ours))


def show_calls(plan: PlanInAws, *, as_json: bool = True) -> None:
    """The exact requests, one JSON list; for a person an instance's script below it."""
    if isinstance(plan, InstancePlan) and not as_json:
        say_json(calls_json(map(without_script, plan.calls)))
        say(plan.script)
        return
    say_json(calls_json(plan.calls))


def run_in_aws(arguments: argparse.Namespace, spec: JobSpec, echo: TextIO) -> JobResult | None:
    """Run a job where --on says. None: it was only shown.

    Raises UsageError: nobody agreed to what it costs; and as the runner does.
    """
    runner = RUNNERS[arguments.on](echo)
    plan = runner.plan(spec)
    for note in plan.notes:
        say(f"note: {note}", to=sys.stderr if arguments.show else echo)
    if arguments.show:
        show_calls(plan, as_json=arguments.output == "json")
        return None
    runner.check(plan)
    agree(plan.costs, is_yes=bool(arguments.yes), to=echo)
    return runner.run(spec, plan=plan)


def attach(which: str, echo: TextIO) -> JobResult:
    """Look on again at a run in AWS, or at any training job by its name in AWS.

    Raises UsageError: it is none; and as the runner does.
    """
    run = _known(which)
    if run is None:
        run = SageMakerRunner(echo=echo).adopt(which)
    return _runner_of(run, echo).attach(run)


def stop(which: str, echo: TextIO) -> Run:
    """Ask AWS to stop a run's job, and say so. Raises UsageError, AwsError."""
    run = _to_stop(which)
    runner, again = _runner_of(run, echo), f"`kennel run --attach {run.folder}`"
    check_started(run)
    if runner.stop(run):
        say(f"stop:    asked for; {again} waits for its end", to=echo)
    else:
        say(f"stop:    it has ended already; {again} fetches what it left", to=echo)
    return run


def show_attach(which: str) -> None:
    """What `attach` would ask. Sends nothing. Raises UsageError."""
    run = _known(which)
    if run is None:
        show_asked(SageMakerRunner().asks(which))
    else:
        runner = _runner_of(run, sys.stdout)
        check_started(run)
        show_asked(runner.asks(run))


def show_stop(which: str) -> None:
    """What `stop` would send. Sends nothing. Raises UsageError."""
    run = _to_stop(which)
    runner = _runner_of(run, sys.stdout)
    check_started(run)
    show_asked(runner.stopping(run))


def show_asked(asked: Asked) -> None:
    """The requests on stdout; what cannot be said before on stderr."""
    say_json(calls_json(asked.calls))
    if asked.note:
        say(f"note:    {asked.note}", to=sys.stderr)


def aws_lines(run: Run) -> list[str]:
    """What a run in AWS has to say besides what every run says; nothing for others."""
    if not run.aws:
        return []
    lines = [f"aws:     {run.aws.get('console', '')}"]
    if "bill" in run.aws:
        lines.append(bill_line(run.aws["bill"]))
    if tensors := run.aws.get("tensors"):
        lines.append(f"tensors: kennel debug explain {tensors}")
    path = run.folder / LOG_NAME
    if run.status == "Failed" and path.is_file():
        said = path.read_text(encoding="utf-8", errors="replace").splitlines()
        lines += [f"log:     {line}" for line in said[-LAST_LINES:]]
    return lines


def _known(which: str) -> Run | None:
    """The run; None for what may be a training job's name. Raises UsageError: it is neither."""
    try:
        return find_run(RUNS, which)
    except UsageError:
        if not NAME_PATTERN.fullmatch(which):
            raise
        return None


def _to_stop(which: str) -> Run:
    """Raises UsageError: what --stop names is no run here."""
    run = _known(which)
    if run is None:
        raise UsageError(f"no run is called {which!r} in {RUNS}/: see `kennel list`")
    return run


def _runner_of(run: Run, echo: TextIO) -> RunnerInAws:
    kind = str(run.aws.get("kind", ""))
    if kind == TUNING_JOB:
        raise UsageError(
            f"{run.folder} is a study: `kennel tune TUNING.toml --on aws` looks on again, with "
            "--stop it stops it"
        )
    if kind not in KINDS:
        raise UsageError(f"{run.folder} ran on this machine, not in AWS: see `kennel report`")
    return RUNNERS[KINDS[kind]](echo)
