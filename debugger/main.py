"""The command `python -m debugger`: rules, tensors, plot, report, profile, processing.

stdout carries results for programs, the log goes to stderr. An error is one line, without a
traceback, and an exit code.
"""

import argparse
import contextlib
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from contract.errors import JobError, KennelError, UsageError
from contract.rule_result import RULE_OUTPUT
from contract.rules import RuleSpec
from debugger.guard import guarded
from debugger.options import parse

log = logging.getLogger("debugger")

CLASSIC_RULES = (
    "VanishingGradient", "Overfit", "Overtraining", "PoorWeightInitialization", "LossNotDecreasing",
)  # fmt: skip
PROFILER_REPORT = "ProfilerReport"
FOUND = 1  # exit code of rules that found something
# Exit codes: a mistake of ours (EX_SOFTWARE), the machine cannot (EX_IOERR), Ctrl-C.
BROKEN, UNABLE, INTERRUPTED = 70, 74, 130
Command = Callable[[argparse.Namespace, TextIO], int]


def main(words: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        arguments = parse(words)
    except KennelError as error:
        return _refuse(error)
    except SystemExit:  # how argparse ends after --help
        return 0
    # A user's rule may print: stdout belongs to the answer.
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr), _log_to_stderr():
        ended = guarded("the command", lambda: _run(arguments, answers))
        if ended.value is None:
            sys.stderr.write(f"debugger: {ended.error}\n")
        return BROKEN if ended.value is None else ended.value


def _run(arguments: argparse.Namespace, answers: TextIO) -> int:
    try:
        return COMMANDS[arguments.command](arguments, answers)
    except KennelError as error:
        log.debug("traceback", exc_info=True)
        return _refuse(error)
    except KeyboardInterrupt:
        return INTERRUPTED


def _refuse(error: KennelError) -> int:
    """One line. That something went wrong must not look as if a rule had found something."""
    sys.stderr.write(f"debugger: {error}\n")
    return UNABLE if error.exit_code == FOUND else error.exit_code


def _rules(arguments: argparse.Namespace, answers: TextIO) -> int:
    from debugger.evaluate import Request, evaluate
    from debugger.folders import S3, check_source
    from debugger.words import specs_of

    source = arguments.source
    if not arguments.follow:
        check_source(source)
    specs = specs_of(arguments.config, arguments.rule, arguments.own)
    if arguments.out is None and source.startswith(S3):
        raise UsageError("rules: results of an s3:// source need --out DIR")
    request = Request(
        source=source,
        specs=specs or _usual_rules(source),
        out=arguments.out or Path(source) / RULE_OUTPUT,
        follow=arguments.follow,
        compat=arguments.compat,
    )

    def emit(event: Mapping[str, Any]) -> None:
        answers.write(json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n")
        answers.flush()

    return evaluate(request, emit)


def _usual_rules(source: str) -> tuple[RuleSpec, ...]:
    """For what a job left. Raises UsageError: nothing."""
    from debugger.folders import S3, find_tensors
    from debugger.profile.read import find_profiler_folders

    names = list(CLASSIC_RULES) if find_tensors(source) else []
    if not source.startswith(S3) and find_profiler_folders(Path(source)):
        names.append(PROFILER_REPORT)
    if not names:
        raise UsageError(
            f"{source} holds neither saved tensors nor a profile: name the rules with --rule, or "
            "add [debugger] or [profiler] to the job description and run it again"
        )
    return tuple(RuleSpec(name=name, rule=name) for name in names)


def _tensors(arguments: argparse.Namespace, answers: TextIO) -> int:
    from debugger.listing import listing_of
    from debugger.opening import opened

    with opened(arguments.source) as saved:
        document = listing_of(
            arguments.source, saved, (arguments.mode or "").upper(), arguments.regex or ""
        )
    answers.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return 0


def _plot(arguments: argparse.Namespace, answers: TextIO) -> int:
    from debugger.opening import opened
    from debugger.plot import draw_plot

    with opened(arguments.source) as saved:
        draw_plot(saved, arguments.names, arguments.out)
    answers.write(f"{arguments.out}\n")
    return 0


def _report(arguments: argparse.Namespace, answers: TextIO) -> int:
    from debugger.folders import check_source
    from debugger.report.job_page import write_job_page

    check_source(arguments.source)
    write_job_page(Path(arguments.source), arguments.out)
    answers.write(f"{arguments.out}\n")
    return 0


def _profile(arguments: argparse.Namespace, answers: TextIO) -> int:
    from debugger.folders import check_source
    from debugger.profile.evaluate import evaluate_profile
    from debugger.profile.headlines import headlines
    from debugger.profile.read import find_profiler_folders, read_profile
    from debugger.profile_watch import NOTHING_MEASURED, write_profile

    check_source(arguments.source)
    folders = find_profiler_folders(Path(arguments.source))
    if not folders:
        raise JobError(f"{arguments.source}: {NOTHING_MEASURED}")
    profile = read_profile(folders)
    spec = RuleSpec(name=PROFILER_REPORT, rule=PROFILER_REPORT)
    results = evaluate_profile(profile, spec)
    write_profile(profile, results, arguments.out)
    answers.writelines(f"{one}\n" for one in headlines(profile, results))
    return 1 if results[-1].status == "IssuesFound" else 0


def _processing(_arguments: argparse.Namespace, answers: TextIO) -> int:
    from debugger.processing import run_processing

    return run_processing(answers)


@contextlib.contextmanager
def _log_to_stderr() -> "Iterator[None]":
    """All that our rooms and users' rules say."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    before = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


COMMANDS: Mapping[str, Command] = {
    "rules": _rules,
    "tensors": _tensors,
    "plot": _plot,
    "report": _report,
    "profile": _profile,
    "processing": _processing,
}
