"""`kennel run`: one training job, from its description to its report."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TextIO

from contract.job import JobResult
from control.job_spec import Overrides, read_job_spec
from control.parser import Command, Parser, add_output_format, pair
from control.place import add_place, engine_for, is_container, only_for_containers
from control.run_container import IMAGE, SHM_SIZE, ContainerRunner
from control.run_process import ProcessRunner
from control.runner import Plan, Runner
from control.runs import RUNS, read_run
from control.summary import metric_lines
from control.terminal import duration, say, say_json


def run_job(arguments: argparse.Namespace) -> int:
    """Exit code 0 when the job completed, 1 when it did not."""
    only_for_containers(arguments, "instances", "shm_size")
    spec = read_job_spec(
        arguments.job,
        Overrides(
            name=arguments.name,
            hyperparameters=dict(arguments.set),
            channels={name: Path(folder).expanduser() for name, folder in arguments.channel},
        ),
    )
    as_json = arguments.output == "json"
    # With -o json, stdout belongs to the document; the job's own lines go to stderr.
    runner = _runner(arguments, sys.stderr if as_json else sys.stdout)
    if arguments.show:
        plan = runner.plan(spec)
        if as_json:
            say_json(plan.to_json())
        else:
            say(plan_text(plan))
        return 0
    result = runner.run(spec)
    if as_json:
        say_json(read_run(result.folder).to_json())
    else:
        say(result_text(result))
    return 0 if result.ok else 1


def plan_text(plan: Plan) -> str:
    """A plan as a person reads it: what is written, then the exact command."""
    return "\n".join(
        [
            f"folder           {plan.folder}",
            f"time limit       {duration(plan.max_run_seconds)}",
            *(f"channel          {name} = {path}" for name, path in plan.channels.items()),
            *(f"hyperparameter   {name} = {text}" for name, text in plan.hyperparameters.items()),
            *(f"environment      {name}={text}" for name, text in plan.environment.items()),
            *(f"before           {shlex.join(words)}" for words in plan.before),
            *(f"command          {shlex.join(words)}" for words in (plan.command, *plan.beside)),
            *(f"after            {shlex.join(words)}" for words in plan.after),
        ]
    )


def result_text(result: JobResult) -> str:
    """How a job ended, where things are and what to do next."""
    lines = [
        "",
        *metric_lines(result.metrics),
        f"job {result.name}: {result.status} after {duration(result.seconds)}",
    ]
    if result.failure_reason:
        lines.append(f"reason:  {result.failure_reason}")
    lines.append(f"folder:  {result.folder}")
    report = read_run(result.folder).report
    if report.is_file():
        lines.append(f"report:  {report}")
    if result.ok:
        lines.append(f"next:    kennel serve {result.folder}")
        lines.append(f"         kennel predict PICTURE --bundle {result.folder}")
    return "\n".join(lines)


def _runner(arguments: argparse.Namespace, echo: TextIO) -> Runner:
    if not is_container(arguments):
        return ProcessRunner(runs=RUNS, echo=echo)
    return ContainerRunner(
        engine=engine_for(arguments),
        image=arguments.image or IMAGE,
        num_hosts=1 if arguments.instances is None else arguments.instances,
        gpus=arguments.gpus or "auto",
        shm_size=arguments.shm_size or SHM_SIZE,
        runs=RUNS,
        echo=echo,
    )


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("job", metavar="JOB.toml", type=Path, help="the job's description")
    add_place(parser, IMAGE)
    parser.add_argument(
        "--instances", type=int, metavar="N", help="containers, one a host: algo-1 to algo-N"
    )
    parser.add_argument(
        "--shm-size", metavar="SIZE", help=f"/dev/shm of each container; default {SHM_SIZE}"
    )
    parser.add_argument("--name", help="the job's name instead of the one in the file")
    parser.add_argument(
        "--set",
        action="append",
        type=pair,
        default=[],
        metavar="NAME=VALUE",
        help="a hyperparameter on top of the file's; may be repeated",
    )
    parser.add_argument(
        "--channel",
        action="append",
        type=pair,
        default=[],
        metavar="NAME=DIR",
        help="a channel on top of the file's; may be repeated",
    )
    parser.add_argument(
        "--show", action="store_true", help="print what would be run, and stop there"
    )
    add_output_format(parser)


RUN = Command(
    name="run",
    help="run one training job and wait for it",
    description=(
        "Run the training job that a TOML file describes. Its folder, runs/NNNN-name, is laid out\n"
        "as SageMaker lays out /opt/ml and is never written to by another run."
    ),
    examples=(
        "kennel run jobs/digits.toml",
        "kennel run jobs/dogs.toml --set epochs=20 --channel train=pictures/train",
        "kennel run jobs/dogs.toml --on container --instances 2 --show",
    ),
    add_arguments=_add_arguments,
    run=run_job,
)
