"""`kennel tune`: one study, from its description to its table of trials."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from contract.errors import UsageError
from contract.tuning import STORAGE_VARIABLE
from contract.tuning_warnings import tuning_warnings
from control.command_run import add_job_arguments, overrides_of, plan_text, runner_for
from control.job_spec import JobSpec
from control.outcome import begin_run
from control.parser import Command, Parser
from control.place import AWS, PLACES, only_for_containers, place_of, refuse
from control.runs import RUNS, make_run_folder, one_at_a_time, read_run, write_run
from control.study_pictures import changed_note, check_parents, check_pictures
from control.study_runs import (
    StudyRun,
    await_orphan,
    ended_without_parents,
    find_parents,
    is_finished,
    note_end,
    same_study,
    study_of,
    write_parents,
)
from control.study_storage import check_storage, check_url, shown
from control.terminal import complain, say, say_json
from control.tune_in_aws import FLAGS, tune_in_aws
from control.tuning_answer import say_finished, say_study, study_document
from control.tuning_file import Tuning, read_tuning
from control.tuning_text import search_lines, study_text

PLACES_OF_STUDIES = (*PLACES, AWS)

SPOT_TRIALS = (
    "aws.spot: trials of a tuning job have no checkpoints, so one whose instance is taken away "
    "begins anew; --in-one-job keeps what was done"
)


def tune(arguments: argparse.Namespace) -> int:
    """Exit code 0 when the study completed, 1 when it did not."""
    in_aws = place_of(arguments, PLACES_OF_STUDIES) == AWS
    tuning = read_tuning(
        arguments.tuning, overrides_of(arguments), arguments.max_jobs, in_aws=in_aws
    )
    if tuning.job_debug.is_on:
        complain(
            f"note: {tuning.job}: [debugger], [profiler] and [rules] are for single jobs; "
            "the trials of a study go without them"
        )
    if arguments.show or in_aws:  # otherwise the study says them itself, at its start
        for line in tuning_warnings(tuning.spec):
            complain(f"warning: {line}")
    if in_aws and tuning.aws and tuning.aws.spot and not arguments.in_one_job:
        complain(f"warning: {SPOT_TRIALS}")
    if in_aws:
        return tune_in_aws(arguments, tuning)
    refuse(arguments, FLAGS, "only a study in AWS takes it; add --on aws")
    only_for_containers(arguments, "shm_size")
    if arguments.storage:
        check_url(arguments.storage)
    tuning, parents, earlier = _look_up(tuning)
    if earlier:
        check_storage(earlier, tuning, arguments.storage)
    if arguments.show:
        return _show(arguments, tuning, earlier)
    echo = sys.stderr if arguments.output == "json" else sys.stdout
    if earlier:
        earlier = await_orphan(earlier, echo)
    if earlier and is_finished(earlier, tuning.spec):
        return _say_finished(arguments, tuning, note_end(earlier))
    spec = tuning.study_job()
    if earlier:
        check_pictures(earlier, tuning)
    runner = runner_for(arguments, echo, _environment(arguments))
    with one_at_a_time(RUNS):
        folder = _take_folder(arguments, tuning, spec, echo)
    write_parents(folder, parents)
    result = runner.run(spec, folder)
    say_study(arguments, study_of(read_run(folder)), tuning)
    return 0 if result.ok else 1


def _look_up(tuning: Tuning) -> tuple[Tuning, list[StudyRun], StudyRun | None]:
    """The study with its parents by their folders' names, and its newest run.

    Parents are needed for new trials only: without them, a study that has ended is found as well.
    """
    try:
        parents = find_parents(RUNS, tuning)
        check_parents(parents, tuning)
    except UsageError as error:
        ended = ended_without_parents(RUNS, tuning)
        if ended is None:
            raise
        complain(f"note: more trials of this study would need its parents: {error}")
        return tuning, [], ended
    tuning = tuning.with_parents(tuple(parent.run.folder.name for parent in parents))
    return tuning, parents, same_study(RUNS, tuning)


def _take_folder(
    arguments: argparse.Namespace, tuning: Tuning, spec: JobSpec, echo: TextIO
) -> Path:
    """Where this study goes on or begins; from now on it counts as running."""
    earlier = same_study(RUNS, tuning)
    if earlier and earlier.is_running and not arguments.storage:
        raise UsageError(
            f"{earlier.run.folder} is this study and runs already, as process {earlier.run.pid}; "
            "to have several work on it give each --storage URL"
        )
    if earlier and not earlier.is_running:
        check_pictures(earlier, tuning)
        say(_continuing(earlier), to=echo)
        folder = earlier.run.folder
    else:
        folder = make_run_folder(RUNS, spec.name)
    write_run(replace(begin_run(spec, folder), storage=shown(arguments.storage or "")))
    return folder


def _show(arguments: argparse.Namespace, tuning: Tuning, earlier: StudyRun | None) -> int:
    """What would be run, and how far the study is when there is one."""
    environment = {name: shown(value) for name, value in _environment(arguments).items()}
    plan = runner_for(arguments, sys.stderr, environment).plan(tuning.study_job())
    if arguments.output == "json":
        say_json(
            {
                "tuning": tuning.spec.to_json(),
                "combinations": tuning.spec.num_combinations,
                "warnings": list(tuning_warnings(tuning.spec)),
                "plan": plan.to_json(),
                "study": study_document(earlier) if earlier else None,
            }
        )
        return 0
    say("\n".join([*search_lines(tuning.spec), plan_text(plan)]))
    if earlier:
        _complain_of_pictures(tuning, earlier)
        state = "continues" if not is_finished(earlier, tuning.spec) else "has ended in"
        say(f"{state.ljust(16)} {earlier.run.folder}")
        say(study_text(earlier, tuning.job, arguments.channel))
    return 0


def _say_finished(arguments: argparse.Namespace, tuning: Tuning, earlier: StudyRun) -> int:
    remedy = ""
    if earlier.study and earlier.study.reason:
        remedy = f": {earlier.study.reason}"
    elif tuning.spec.strategy != "Grid":
        remedy = f"; --max-jobs {2 * tuning.spec.num_jobs} extends it"
    say_finished(arguments, earlier, tuning, remedy)
    _complain_of_pictures(tuning, earlier)
    return 0


def _complain_of_pictures(tuning: Tuning, earlier: StudyRun) -> None:
    if note := changed_note(earlier, tuning):
        complain(f"warning: {note}")


def _continuing(earlier: StudyRun) -> str:
    done = earlier.study.num_finished if earlier.study else 0
    return f"continuing {earlier.run.folder}, which has {done} finished trials"


def _environment(arguments: argparse.Namespace) -> dict[str, str]:
    return {STORAGE_VARIABLE: arguments.storage} if arguments.storage else {}


def _add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "tuning", metavar="TUNING.toml", type=Path, help="the study's description: docs/tuning.md"
    )
    add_job_arguments(
        parser, "a hyperparameter that is not searched, on top of the files'", PLACES_OF_STUDIES
    )
    parser.add_argument(
        "--max-jobs", type=int, metavar="N", help="trials in all, instead of the file's number"
    )
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="a database that several machines share, e.g. postgresql+psycopg://USER@HOST/NAME",
    )
    parser.add_argument(
        "--in-one-job",
        action="store_true",
        help="in AWS: the whole study inside one training job, as it always is here",
    )
    parser.add_argument(
        "--fetch-best",
        action="store_true",
        help="in AWS: bring the best trial's bundle here, also of a study that has ended",
    )
    parser.add_argument(
        "--stop", action="store_true", help="in AWS: ask for the end of the study that is under way"
    )
    parser.add_argument("--yes", action="store_true", help="in AWS: do not ask whether it may cost")


TUNE = Command(
    name="tune",
    help="search hyperparameters: one study, many trials",
    description=(
        "Run the study that a TOML file describes, in one run folder, and print its trials. The\n"
        "same command again continues a study that was interrupted; one that has ended is shown.\n"
        "With --on aws it is a tuning job of SageMaker's, whose study looks the same in the end."
    ),
    examples=(
        "kennel tune jobs/dogs_tuning.toml",
        "kennel tune jobs/dogs_tuning.toml --show",
        "kennel tune jobs/dogs_tuning.toml --max-jobs 40 -o json",
        "kennel tune jobs/dogs_tuning_aws.toml --on aws --show",
        "kennel tune jobs/dogs_tuning_aws.toml --on aws --yes --fetch-best",
        "kennel tune jobs/dogs_tuning_aws.toml --on aws --in-one-job",
    ),
    add_arguments=_add_arguments,
    run=tune,
)
