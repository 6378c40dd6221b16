"""`kennel run`: one training job, from its description to its report."""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from contract.errors import UsageError
from contract.job import JobResult
from contract.tuning import FIND_LR_KEY
from control.aws.job.interrupts import DetachedError
from control.debug_flags import DebugFlags, add_debug_flags
from control.debug_spec import DebugSpec
from control.debug_text import spec_lines
from control.job_spec import JobSpec, Overrides, channel_source, combine, flag_words, read_job_spec
from control.lr_advice import advice_text, read_lr_advice
from control.parser import Command, Parser, add_output_format, pair
from control.place import (
    PLACES,
    add_place,
    engine_for,
    is_container,
    only_for_containers,
    place_of,
    refuse,
)
from control.run_container import IMAGE, SHM_SIZE, ContainerRunner
from control.run_in_aws import (
    FLAGS,
    RUNNERS,
    add_aws_flags,
    attach,
    place_on_top,
    run_in_aws,
    show_attach,
    show_stop,
    stop,
)
from control.run_process import ProcessRunner
from control.run_text import result_text
from control.runner import Plan, Runner
from control.runs import RUNS, read_run
from control.study_runs import best_of, find_study
from control.terminal import duration, say, say_json


def run_job(arguments: argparse.Namespace) -> int:
    """Exit code 0 when the job completed, 1 when it did not."""
    try:
        return _run(arguments)
    except DetachedError as error:
        if arguments.output == "json" and error.folder:
            say_json(read_run(error.folder).to_json())
        raise


def _run(arguments: argparse.Namespace) -> int:
    # With -o json, stdout belongs to the document; the job's own lines go to stderr.
    echo = sys.stderr if arguments.output == "json" else sys.stdout
    if arguments.attach is not None or arguments.stop is not None:
        return _look_after(arguments, echo)
    if arguments.job is None:
        raise UsageError("the following arguments are required: JOB.toml; see `kennel run --help`")
    if place_of(arguments, (*PLACES, *RUNNERS)) in RUNNERS:
        return _run_in_aws(arguments, echo)
    return _run_here(arguments, echo)


def _run_here(arguments: argparse.Namespace, echo: TextIO) -> int:
    refuse(arguments, FLAGS, "only a job in AWS takes it; add --on aws")
    only_for_containers(arguments, "instances", "shm_size")
    spec = _spec(arguments, echo)
    runner = runner_for(arguments, echo)
    if arguments.show:
        plan = runner.plan(spec)
        if arguments.output == "json":
            say_json(plan.to_json())
        else:
            say("\n".join([plan_text(plan), *spec_lines(spec.debug)]))
        return 0
    for note in spec.debug.notes:
        say(note, to=echo)
    return _say_result(arguments, runner.run(spec))


def _run_in_aws(arguments: argparse.Namespace, echo: TextIO) -> int:
    spec = place_on_top(arguments, _spec(arguments, sys.stderr if arguments.show else echo))
    for note in spec.debug.notes:
        say(note, to=sys.stderr if arguments.show else echo)
    result = run_in_aws(arguments, spec, echo)
    return _say_result(arguments, result) if result else 0


def _look_after(arguments: argparse.Namespace, echo: TextIO) -> int:
    """A run that goes on in AWS."""
    if arguments.job is not None:
        raise UsageError(
            f"--attach and --stop want a run, and {arguments.job} is a job: leave it out"
        )
    if None not in (arguments.attach, arguments.stop):
        raise UsageError("--attach looks on and --stop ends it: give one of them")
    if arguments.show and arguments.stop is None:
        show_attach(arguments.attach)
        return 0
    if arguments.show:
        show_stop(arguments.stop)
        return 0
    if arguments.stop is None:
        return _say_result(arguments, attach(arguments.attach, echo))
    run = stop(arguments.stop, echo)
    if arguments.output == "json":
        say_json(run.to_json())
    return 0


def _say_result(arguments: argparse.Namespace, result: JobResult) -> int:
    run = read_run(result.folder)
    is_finder = result.ok and FIND_LR_KEY in run.hyperparameters
    advice = read_lr_advice(run.folder) if is_finder else None
    if arguments.output == "json":
        found = {"lr_finder": advice.to_json()} if advice else {}
        say_json({**run.to_json(), **found})
    else:
        job = arguments.job or Path("JOB.toml")  # the file is not known after --attach
        settings = combine(dict(arguments.set), {"lr": ""})  # without the old rate
        del settings["lr"]
        given = flag_words("--set", settings.items()) + flag_words("--channel", arguments.channel)
        text = advice_text(advice, job, given) if advice else ""
        # Here its lines have just been shown; what AWS says of a job need not be in its log.
        say(result_text(result, text, job, has_told_metrics=not run.aws))
    return 0 if result.ok else 1


def overrides_of(
    arguments: argparse.Namespace,
    below: Mapping[str, str] | None = None,
    debug: DebugFlags | None = None,
) -> Overrides:
    """What --name, --set and --channel say; `below` are hyperparameters that --set beats."""
    return Overrides(
        name=arguments.name,
        hyperparameters=combine(below or {}, dict(arguments.set)),
        channels={name: channel_source(text) for name, text in arguments.channel},
        debug=debug or DebugFlags(),
    )


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
            *(f"meanwhile        {shlex.join(words)}" for words in (plan.watch,) if words),
            *(f"after            {shlex.join(words)}" for words in plan.after),
        ]
    )


def runner_for(
    arguments: argparse.Namespace, echo: TextIO, environment: Mapping[str, str] | None = None
) -> Runner:
    """The runner that --on and its like ask for. `environment` is the job's, besides ours."""
    environment = environment or {}
    if not is_container(arguments):
        return ProcessRunner(runs=RUNS, echo=echo, environment=environment)
    instances = getattr(arguments, "instances", None)
    return ContainerRunner(
        engine=engine_for(arguments),
        image=arguments.image or IMAGE,
        num_hosts=1 if instances is None else instances,
        environment=environment,
        gpus=arguments.gpus or "auto",
        shm_size=arguments.shm_size or SHM_SIZE,
        runs=RUNS,
        echo=echo,
    )


def add_job_arguments(parser: Parser, set_help: str, places: Sequence[str] = PLACES) -> None:
    """The flags of every command that runs a job: where, on top of the file, --show, -o."""
    add_place(parser, IMAGE, places)
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
        help=f"{set_help}; may be repeated",
    )
    parser.add_argument(
        "--channel",
        action="append",
        type=pair,
        default=[],
        metavar="NAME=DIR",
        help="a channel on top of the file's, a path or s3://BUCKET/PREFIX; may be repeated",
    )
    parser.add_argument(
        "--show", action="store_true", help="print what would be run, and stop there"
    )
    add_output_format(parser)


def _add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "job", metavar="JOB.toml", type=Path, nargs="?", help="the job's description"
    )
    add_job_arguments(parser, "a hyperparameter on top of the file's", (*PLACES, *RUNNERS))
    parser.add_argument(
        *("--instances", "--instance-count"),  # the second as the file has it
        type=int,
        metavar="N",
        help="containers, or machines in AWS, one a host: algo-1 to algo-N",
    )
    add_aws_flags(parser)
    parser.add_argument(
        "--attach",
        metavar="RUN",
        help="look on again at a job that goes on in AWS, and fetch what it left: a run, or the "
        "job's name in AWS",
    )
    parser.add_argument("--stop", metavar="RUN", help="ask AWS to stop a run's job")
    parser.add_argument(
        "--from",
        dest="study",
        metavar="STUDY",
        help="take the best hyperparameters of a study (folder, number or name), or of the newest"
        " finished one: best; --set beats them",
    )
    parser.add_argument(
        "--find-lr",
        action="store_true",
        help="find a learning rate instead of training: a picture, a value, a range to search",
    )
    add_debug_flags(parser)


def _spec(arguments: argparse.Namespace, echo: TextIO) -> JobSpec:
    """The job, with what --from, --find-lr and the Debugger's flags add. Says what was taken."""
    more = {FIND_LR_KEY: "true"} if arguments.find_lr else {}
    if arguments.study is not None:
        found = find_study(RUNS, arguments.study)
        trial, best = best_of(found)
        given = dict(arguments.set)
        taken = [f"{name} = {text}" for name, text in combine(best, given).items()]
        taken = [text for text in taken if text.partition(" = ")[0] not in given]
        where = f"{found.run.folder}, trial {trial.number}"
        say(f"from {where}: {', '.join(taken) or 'nothing'}", to=echo)
        more = {**best, **more}
    overrides = overrides_of(arguments, more, DebugFlags.of(arguments))
    spec = read_job_spec(arguments.job, overrides, in_aws=arguments.on in RUNNERS)
    if arguments.find_lr and spec.debug.is_on:
        note = "--find-lr goes without [debugger], [profiler] and [rules]"
        return replace(spec, debug=DebugSpec(notes=(note,)))
    return spec


RUN = Command(
    name="run",
    help="run one training job and wait for it",
    description=(
        "Run the training job that a TOML file describes. Its folder, runs/NNNN-name, is laid out\n"
        "as SageMaker lays out /opt/ml and is never written to by another run. With --on aws it\n"
        "is a training job of SageMaker's, with --on ec2 it has an instance that ends itself; the\n"
        "folder looks the same in the end."
    ),
    examples=(
        "kennel run jobs/digits.toml",
        "kennel run jobs/dogs.toml --set epochs=20 --channel train=pictures/train",
        "kennel run jobs/dogs.toml --on container --instances 2 --show",
        "kennel run jobs/dogs.toml --from best --set epochs=30",
        "kennel run jobs/dogs.toml --find-lr",
        "kennel run jobs/dogs.toml --debug --profile",
        "kennel run jobs/dogs_aws.toml --on aws --show",
        "kennel run jobs/dogs_aws.toml --on aws --spot --yes",
        "kennel run jobs/dogs_ec2.toml --on ec2 --show",
        "kennel run --attach dogs-aws",
        "kennel run jobs/dogs.toml --rule VanishingGradient:threshold=1e-6,actions=stop",
    ),
    add_arguments=_add_arguments,
    run=run_job,
)
