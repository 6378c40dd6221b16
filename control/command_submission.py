"""`kennel submission`: what a course reviewer asks for, from the jobs that really ran."""

import argparse
from pathlib import Path

from control.parser import Command, Parser, add_output_format
from control.runs import RUNS
from control.submission.checklist import HEADER, missing_in
from control.submission.evidence import FOLDER, read_evidence
from control.submission.material import gather
from control.submission.rubric import COURSES
from control.submission.submit import Submitted, look, submit
from control.terminal import say, say_json, table

DEFAULT = "image-classification"


def make_submission(arguments: argparse.Namespace) -> int:
    """Exit code 0 when nothing that a reviewer asks for is missing."""
    evidence = read_evidence(arguments.evidence)
    material = gather(RUNS, arguments.runs, evidence, arguments.notebook)
    if arguments.check:
        done = look(arguments.course, material)
    else:
        done = submit(arguments.course, material, RUNS, arguments.out)
    missing = missing_in(done.checked)
    if arguments.output == "json":
        say_json(
            {
                "course": arguments.course,
                "folder": str(done.folder) if done.folder else None,
                "missing": [one.line.key for one in missing],
                "checklist": [one.to_json() for one in done.checked],
            }
        )
    else:
        say("\n".join(_lines(done)))
    return 1 if missing else 0


def _lines(done: Submitted) -> list[str]:
    shown = [
        (one.state, one.line.what, _where(one.where) if one.where else one.how)
        for one in done.checked
    ]
    missing = missing_in(done.checked)
    lines = [table(HEADER, shown), ""]
    if done.folder:
        lines += [f"folder:  {done.folder}", f"list:    {done.folder / 'checklist.html'}"]
    if missing:
        lines.append(f"missing: {len(missing)} of {len(done.checked)}")
        lines.append(f"next:    {missing[0].how}")
    elif done.folder:
        lines.append(f"next:    answer what is marked TODO in {done.folder / 'README.md'}")
    else:
        lines.append("next:    kennel submission")
    return lines


def _where(files: tuple[str, ...]) -> str:
    return files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"


def _add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="*",
        help="jobs and a study, by folder, number or name; without any, all that completed",
    )
    parser.add_argument(
        "--course",
        choices=tuple(COURSES),
        default=DEFAULT,
        help=f"whose reviewers it is for; default {DEFAULT}",
    )
    parser.add_argument(
        "--evidence",
        metavar="DIR",
        type=Path,
        default=FOLDER,
        help="documents that commands printed with -o json, as deploy.json, predict.json, ...; "
        f"default {FOLDER}",
    )
    parser.add_argument(
        "--notebook", metavar="FILE", type=Path, help="an executed notebook; default: looked for"
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="a new folder; default runs/NNNN-submission"
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing, say what is there and what is missing"
    )
    add_output_format(parser)


SUBMISSION = Command(
    name="submission",
    help="write what a course reviewer asks for, and say what is missing",
    description=(
        "Write README, tables, plots, cards, reports, scripts and the notebook from the jobs that\n"
        "really ran, and a checklist of each line that a reviewer looks for: where it is, or the\n"
        "command that makes it. Exit code 1 when something is missing."
    ),
    examples=(
        "kennel submission --check",
        "kennel submission --out handed-in",
        "kennel submission 3 4 --course ops",
    ),
    add_arguments=_add_arguments,
    run=make_submission,
)
