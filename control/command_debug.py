"""`kennel debug`: rules, tensors, plots, explanations and the profile of what a job left."""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from contract.errors import UsageError
from contract.files import write_json
from contract.rule_result import RuleResult
from contract.strict import nearest
from control.debug_flags import RULE_SYNTAX
from control.debug_outlook import outlook
from control.debug_source import DebugSource, opened_source
from control.debug_spec import by_our_names
from control.debugger_child import ERRORS, FOUND, IMPOSSIBLE, ask_debugger
from control.parser import Command, Parser
from control.rule_tables import own_rule_of, rule_of
from control.rule_text import explanation, rule_table, summary_of
from control.runs import RUNS, UNDER_WAY, write_run
from control.tensor_text import tensors_text
from control.terminal import say, say_json

PICTURES = (".png", ".svg")
# Which arguments an action takes, besides the source and -o.
TAKES: Mapping[str, frozenset[str]] = {
    "rules": frozenset({"rule", "own", "out"}),
    "tensors": frozenset({"regex", "mode"}),
    "plot": frozenset({"names"}),
    "explain": frozenset(),
    "profile": frozenset({"out"}),
}


def debug(arguments: argparse.Namespace) -> int:
    """Exit code 0 fine, 1 an issue was found, 2 it cannot be answered."""
    _check(arguments)
    with opened_source(arguments.source, RUNS) as source:
        return ACTIONS[arguments.action](arguments, source)


def _rules(arguments: argparse.Namespace, source: DebugSource) -> int:
    """Evaluate now, whatever was found while the job ran."""
    given = [*map(rule_of, arguments.rule), *map(own_rule_of, arguments.own)]
    rules = [*map(by_our_names, given)] or source.rules()
    out = arguments.out or (None if source.is_temporary else source.out)
    code, results = _evaluated(source, {"rules": [one.to_json() for one in rules]}, out)
    if out == source.out:
        _remember(source, results)
    if arguments.output == "json":
        say_json(
            {
                "source": source.name,
                "out": str(out) if out else None,
                "rules": [one.to_json() for one in results],
            }
        )
        return code
    say(rule_table([summary_of(one) for one in results]))
    if out:
        say(f"findings: {out}")
    if code == FOUND:
        say(f"next:     kennel debug explain {arguments.source or source.name}")
    return code


def _remember(source: DebugSource, results: Sequence[RuleResult]) -> None:
    """In the run's record, beside what other rules found."""
    run = source.run
    if run is None or run.status in UNDER_WAY:
        return
    found = {str(one["name"]): one for one in run.rules}
    found |= {one.name: summary_of(one) for one in results}
    write_run(replace(run, rules=list(found.values())))


def _evaluated(
    source: DebugSource, config: Mapping[str, Any], out: Path | None
) -> tuple[int, tuple[RuleResult, ...]]:
    """Exit code of ours, and what each rule came to. Without `out` no file is left."""
    with tempfile.TemporaryDirectory(prefix="kennel-rules-") as name:
        path = Path(name) / "rules.json"
        write_json(path, config)
        words = ("--config", str(path), "--out", str(out or Path(name) / "out"))
        answer = ask_debugger("rules", str(source.folder), *words)
    # Rules that end with Error asked for what is not there.
    return IMPOSSIBLE if answer.code == ERRORS else answer.code, answer.results()


def _tensors(arguments: argparse.Namespace, source: DebugSource) -> int:
    mode = ("--mode", arguments.mode) if arguments.mode else ()
    regex = ("--regex", arguments.regex) if arguments.regex else ()
    document = ask_debugger("tensors", str(source.folder), *mode, *regex).document()
    if arguments.output == "json":
        say_json(document)
    else:
        say(tensors_text(document))
    return 0


def _plot(arguments: argparse.Namespace, source: DebugSource) -> int:
    if not arguments.names:
        raise UsageError(
            f"name a tensor or a scalar: kennel debug tensors {arguments.source} lists them"
        )
    wanted = arguments.output
    is_file = wanted not in ("table", "json")
    path = Path(wanted) if is_file else _picture_for(arguments.names[0])
    ask_debugger("plot", str(source.folder), *arguments.names, "--out", str(path))
    if wanted == "json":
        say_json({"source": source.name, "names": arguments.names, "plot": str(path)})
    else:
        say(f"plot: {path}")
    return 0


def _explain(arguments: argparse.Namespace, source: DebugSource) -> int:
    """What rules found, or find now if none has looked yet."""
    results = source.results()
    if not results:
        config = {"rules": [one.to_json() for one in source.rules()]}
        out = None if source.is_temporary else source.out
        results = _evaluated(source, config, out)[1]
    found = [one for one in results if one.status == "IssuesFound"]
    blind = [one for one in results if one.status in ("Error", "Stopped")]
    ahead = None if found else outlook(source.folder, results)
    if arguments.output == "json":
        say_json(
            {
                "source": source.name,
                "found": [one.to_json() for one in found],
                "not_evaluated": [one.to_json() for one in blind],
                "outlook": ahead,
            }
        )
    else:
        say(explanation(source.name, results, ahead))
    is_answered = len(blind) < len(results)
    return FOUND if found else 0 if is_answered else IMPOSSIBLE


def _profile(arguments: argparse.Namespace, source: DebugSource) -> int:
    out = arguments.out or source.out / "ProfilerReport"
    if source.is_temporary and not arguments.out:
        raise UsageError("a profile in S3: say where its report goes, with --out DIR")
    answer = ask_debugger("profile", str(source.folder), "--out", str(out))
    page = out / "profiler-output" / "profiler-report.html"
    sentences = [line for line in answer.output.splitlines() if line.strip()]
    if arguments.output == "json":
        say_json({"source": source.name, "report": str(page), "sentences": sentences})
    else:
        say("\n".join([*sentences, f"report: {page}"]))
    return answer.code if answer.code != ERRORS else IMPOSSIBLE


def _picture_for(name: str) -> Path:
    """In the current folder; slashes and the like become hyphens."""
    kept = "".join(sign if sign.isalnum() or sign in "._-" else "-" for sign in name)
    return Path(f"{kept.strip('-.') or 'plot'}.png")


ACTIONS: Mapping[str, Callable[[argparse.Namespace, DebugSource], int]] = {
    "rules": _rules,
    "tensors": _tensors,
    "plot": _plot,
    "explain": _explain,
    "profile": _profile,
}


def _check(arguments: argparse.Namespace) -> None:
    """Raises UsageError: no such action, or an argument that it does not take."""
    action = arguments.action
    if action not in ACTIONS:
        near = nearest(action, ACTIONS)
        hint = f"did you mean `kennel debug {near}`?" if near else f"known: {', '.join(ACTIONS)}"
        raise UsageError(f"kennel debug: unknown action {action!r}; {hint}")
    for name in ("rule", "own", "regex", "mode", "out", "names"):
        value = getattr(arguments, name)
        if value and name not in TAKES[action]:
            shown = value[0] if isinstance(value, list) else value
            word = f"{shown!r}" if name == "names" else f"--{name}"
            raise UsageError(f"kennel debug {action}: takes no {word}")
    output = arguments.output
    if output not in ("table", "json") and not (action == "plot" and output.endswith(PICTURES)):
        expected = "table, json or FILE.png" if action == "plot" else "table or json"
        raise UsageError(f"kennel debug {action}: -o: expected {expected}, got {output!r}")


def _add_arguments(parser: Parser) -> None:
    parser.is_intermixed = True
    parser.add_argument("action", metavar="|".join(ACTIONS), help="what to do, see above")
    parser.add_argument(
        "source",
        metavar="RUN",
        nargs="?",
        help="a run by folder, number or name (without any, the newest); a folder that a job left; "
        "or s3://BUCKET/PREFIX",
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="plot: tensors and scalars")
    parser.add_argument(
        "--rule",
        action="append",
        default=[],
        metavar=RULE_SYNTAX,
        help="rules: one instead of those that the job had; may be repeated",
    )
    parser.add_argument(
        "--own",
        action="append",
        default=[],
        metavar="FILE.py:CLASS",
        help="rules: a smdebug Rule of your own; may be repeated",
    )
    parser.add_argument("--regex", metavar="REGEX", help="tensors: only names that match")
    parser.add_argument("--mode", metavar="MODE", help="tensors: only TRAIN, EVAL or GLOBAL")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="rules, profile: where findings are written"
    )
    parser.add_argument(
        "-o",
        "--output",
        default="table",
        metavar="table|json|FILE.png",
        help="what stdout gets: text for people, or one JSON document; of plot, the picture's file",
    )


DEBUG = Command(
    name="debug",
    help="ask what happened inside a job: rules, tensors, profile",
    description=(
        "Look at what the Debugger and the profiler saved of a job.\n"
        "  rules     evaluate rules over it, as if they had watched the job\n"
        "  tensors   list what is saved, with shapes and steps\n"
        "  plot      draw tensors and scalars against steps\n"
        "  explain   say what was found, what it most likely means and what to change\n"
        "  profile   write the profiler's report, and say what it comes to\n"
        "Exit codes: 0 fine, 1 an issue was found, 2 it cannot be answered."
    ),
    examples=(
        "kennel debug explain",
        "kennel debug rules 3 --rule VanishingGradient:threshold=1e-6",
        "kennel debug rules s3://bucket/jobs/dogs-1 --own my_rule.py:MyRule -o json",
        "kennel debug tensors 3 --regex gradient/",
        "kennel debug plot 3 CrossEntropyLoss_output_0 -o loss.png",
        "kennel debug profile 3",
    ),
    add_arguments=_add_arguments,
    run=debug,
)
