"""`kennel tune --on aws`: a tuning job of SageMaker's, or the whole study in one training job."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TextIO

from contract.errors import UsageError
from contract.study import Study
from control.aws.job.interrupts import DetachedError
from control.aws.job.run_sagemaker import TRAINING_JOB, SageMakerRunner
from control.aws.job.starting import Asked
from control.aws.money import agree
from control.aws.tuning.run_tuning import TUNING_JOB, TuningRunner
from control.place import refuse
from control.run_in_aws import show_asked
from control.runs import RUNS, find_run, make_run_folder, read_run
from control.study_runs import StudyRun, is_finished, same_study, study_of
from control.terminal import say, say_json
from control.tuning_answer import say_finished, say_study, study_document
from control.tuning_file import Tuning
from control.tuning_request import one_job

FLAGS = ("yes", "stop", "fetch_best", "in_one_job")  # that nothing on this machine has


def tune_in_aws(arguments: argparse.Namespace, tuning: Tuning) -> int:
    """Exit code 0 when the study completed, 1 when it did not.

    Raises DetachedError after Ctrl-C, and what AWS refuses.
    """
    refuse(arguments, ("gpus", "shm_size"), "in AWS the instance type decides about that")
    refuse(arguments, ("storage",), "in AWS nothing shares a study; leave --storage out")
    if arguments.image and tuning.aws:
        tuning = replace(tuning, aws=replace(tuning.aws, image=arguments.image))
    try:
        if arguments.in_one_job:
            refuse(arguments, ("fetch_best",), "a study in one job brings its bundle anyway")
            return _in_one_job(arguments, tuning)
        return _as_tuning_job(arguments, tuning)
    except DetachedError as error:
        if arguments.output == "json" and error.folder:
            say_json(study_document(study_of(read_run(error.folder))))
        raise


def _as_tuning_job(arguments: argparse.Namespace, tuning: Tuning) -> int:
    echo = _echo(arguments)
    again = f"kennel tune {arguments.tuning} --on aws"
    runner = TuningRunner(echo=echo, look_again=again)
    tuning = tuning.with_parents(tuple(map(_tuning_job_of, _parents(tuning))))
    earlier = same_study(RUNS, tuning, TUNING_JOB)
    is_under_way = earlier is not None and earlier.run.status == "InProgress"
    if arguments.stop:
        if earlier is None or not is_under_way:
            raise _nothing_to_stop()
        if arguments.show:
            show_asked(runner.stopping(earlier))
            return 0
        runner.stop(earlier)
        say(f"stop:    asked for; `{again}` waits for its end", to=echo)
        return 0
    if arguments.show:
        show_asked(_asked(runner, tuning, earlier, fetch_best=arguments.fetch_best))
        return 0
    if earlier and is_under_way:
        say(
            f"looking on again at tuning job {earlier.run.aws['job']}, {earlier.run.folder}",
            to=echo,
        )
        found = runner.attach(earlier)
    elif earlier and earlier.study and _has_ended(earlier, earlier.study, tuning):
        if arguments.fetch_best:
            earlier = runner.fetch_best(earlier)
        say_finished(arguments, earlier, tuning, "", _then(earlier, again))
        return 0
    else:
        plan = runner.plan(tuning)
        runner.check(plan)
        agree(plan.costs, is_yes=bool(arguments.yes), to=echo)
        found = runner.run(tuning, plan)
    if arguments.fetch_best and found.study and found.study.best is not None:
        found = runner.fetch_best(found)
    say_study(arguments, found, tuning, _then(found, again))
    return 0 if found.run.status == "Completed" else 1


def _in_one_job(arguments: argparse.Namespace, tuning: Tuning) -> int:
    """The study's run is a training job's: its outputs hold the study, the page and the bundle."""
    echo = _echo(arguments)
    again = f"kennel tune {arguments.tuning} --on aws --in-one-job"
    runner = SageMakerRunner(echo=echo)
    spec = one_job(tuning)
    earlier = same_study(RUNS, tuning, TRAINING_JOB)
    is_under_way = earlier is not None and earlier.run.status == "InProgress"
    if arguments.stop:
        if earlier is None or not is_under_way:
            raise _nothing_to_stop()
        if arguments.show:
            show_asked(runner.stopping(earlier.run))
            return 0
        runner.stop(earlier.run)
        say(f"stop:    asked for; `{again}` waits for its end", to=echo)
        return 0
    if arguments.show:
        if earlier and is_under_way:
            show_asked(runner.asks(earlier.run))
        elif earlier and is_finished(earlier, tuning.spec):
            show_asked(_nothing(earlier))
        else:
            show_asked(Asked(tuple(runner.plan(spec).calls)))
        return 0
    if earlier and is_under_way:
        folder, result = earlier.run.folder, runner.attach(earlier.run)
    elif earlier and is_finished(earlier, tuning.spec):
        say_finished(arguments, earlier, tuning, "")
        return 0
    else:
        plan = runner.plan(spec)
        runner.check(plan)
        agree(plan.costs, is_yes=bool(arguments.yes), to=echo)
        folder = earlier.run.folder if earlier else make_run_folder(RUNS, spec.name)
        result = runner.run(spec, folder, plan)
    say_study(arguments, study_of(read_run(folder)), tuning)
    return 0 if result.ok else 1


def _asked(
    runner: TuningRunner, tuning: Tuning, earlier: StudyRun | None, *, fetch_best: bool
) -> Asked:
    """For --show: what the same command without it sends. Raises as that does."""
    if earlier and earlier.run.status == "InProgress":
        return runner.asks(earlier)
    if earlier and earlier.study and _has_ended(earlier, earlier.study, tuning):
        return runner.fetching(earlier) if fetch_best else _nothing(earlier)
    return Asked(tuple(runner.plan(tuning).calls))


def _nothing(earlier: StudyRun) -> Asked:
    return Asked((), f"{earlier.run.folder} is this study, which has ended: it would be shown")


def _has_ended(earlier: StudyRun, study: Study, tuning: Tuning) -> bool:
    """Raises UsageError: more trials are wanted of a tuning job that has ended; AWS adds none.

    False: it was stopped or failed, and the next one begins anew.
    """
    if study.status != "Completed":
        return False
    if tuning.spec.num_jobs > study.spec.num_jobs:
        raise UsageError(
            f"{earlier.run.folder} has ended with {study.num_finished} trials, and AWS adds none "
            "to a tuning job: let another one learn from it, with --name and [warm_start] "
            f'parents = ["{earlier.run.folder.name}"]'
        )
    return True


def _then(found: StudyRun, again: str) -> str:
    """The command that fetches the best bundle; nothing when it is here, or there is none."""
    study = found.study
    is_missing = study is not None and study.best is not None and not study.bundle
    return f"{again} --fetch-best" if is_missing else ""


def _parents(tuning: Tuning) -> Sequence[str]:
    return tuning.spec.warm_start.parents if tuning.spec.warm_start else ()


def _tuning_job_of(parent: str) -> str:
    """A parent's name in AWS: of a run here that is a tuning job, or as it was given.

    Raises UsageError: the run here is no tuning job.
    """
    try:
        run = find_run(RUNS, parent)
    except UsageError:
        return parent
    if run.aws.get("kind") != TUNING_JOB:
        raise UsageError(
            f"warm_start.parents: {run.folder} did not run as a tuning job in AWS, which learns "
            "from its own only"
        )
    return str(run.aws["job"])


def _nothing_to_stop() -> UsageError:
    return UsageError(f"--stop: no job of this study is under way, by what {RUNS}/ says")


def _echo(arguments: argparse.Namespace) -> TextIO:
    return sys.stderr if arguments.output == "json" else sys.stdout
