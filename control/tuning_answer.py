"""What `kennel tune` answers in the end: the study's table, or one JSON document."""

import argparse
import sys
from typing import Any, TextIO

from contract.ranges import to_data
from control.aws.job.ending import bill_line
from control.study_runs import StudyRun
from control.terminal import say, say_json
from control.tuning_file import Tuning
from control.tuning_text import study_text


def say_study(
    arguments: argparse.Namespace, found: StudyRun, tuning: Tuning, then: str = ""
) -> None:
    """As -o says. `then` is one more command to go on with."""
    if arguments.output == "json":
        say_json(study_document(found))
        return
    lines = [study_text(found, tuning.job, arguments.channel)]
    if console := found.run.aws.get("console"):
        lines.insert(0, f"aws:     {console}")
    if bill := found.run.aws.get("bill"):
        lines.insert(1, bill_line(bill))
    if then:
        label = "" if "\nnext:    " in lines[-1] else "next:"
        lines.append(f"{label.ljust(9)}{then}")
    say("\n".join(lines))


def say_finished(
    arguments: argparse.Namespace, found: StudyRun, tuning: Tuning, remedy: str, then: str = ""
) -> None:
    """The study, and that nothing was run, with what would make it go on."""
    say_study(arguments, found, tuning, then)
    to: TextIO = sys.stderr if arguments.output == "json" else sys.stdout
    say(f"nothing was run: this study has ended{remedy}", to=to)


def study_document(found: StudyRun) -> dict[str, Any]:
    """The study's record, with where it is and how its run ended."""
    report = found.run.report
    best = found.study.best_trial if found.study else None
    return {
        **(found.study.to_json() if found.study else {"trials": []}),
        "best_hyperparameters": (
            {name: to_data(name, value) for name, value in best.hyperparameters.items()}
            if best
            else None
        ),
        "folder": str(found.run.folder),
        "run_status": found.run.status,
        "failure_reason": found.run.failure_reason,
        "report": str(report) if report.is_file() else None,
        **({"aws": dict(found.run.aws)} if found.run.aws else {}),
    }
