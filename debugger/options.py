"""The words of `python -m debugger`: commands, flags, and what was most likely meant."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from contract.errors import UsageError
from contract.strict import nearest

PROG = "python -m debugger"
_SOURCE = (
    "a job's folder (below /opt/ml, or runs/NNNN-name), a folder of saved tensors or of a "
    "profiler, or s3://bucket/prefix of saved tensors"
)
EXAMPLES = """\
examples:
  python -m debugger rules runs/0001-dogs --rule VanishingGradient:threshold=1e-6
  python -m debugger rules runs/0001-dogs --own my_rule.py:MyRule --follow
  python -m debugger plot runs/0001-dogs CrossEntropyLoss_output_0 --out loss.png

Exit codes: 0 no issue, 1 a rule fired, 2 described wrongly, 3 a rule could not be judged.
"""


class Parser(argparse.ArgumentParser):
    """Raises UsageError, in one line, instead of printing a usage text and exiting."""

    def error(self, message: str) -> NoReturn:
        """One line."""
        raise UsageError(f"{message}; see `{self.prog} --help`")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Raises UsageError: an unknown command or flag, with the nearest one, or a missing word."""
    parser, commands = _build()
    if words and not words[0].startswith("-") and words[0] not in commands:
        near = nearest(words[0], commands)
        hint = f"did you mean {near}?" if near else f"known: {', '.join(commands)}"
        raise UsageError(f"unknown command {words[0]!r}; {hint}")
    arguments, unknown = parser.parse_known_args(list(words))
    if unknown:
        command = commands[arguments.command]
        flag = unknown[0].split("=")[0]
        flags = [name for action in command._actions for name in action.option_strings]
        near = nearest(flag, flags) if flag.startswith("-") else None
        hint = f"did you mean {near}?" if near else f"see `{command.prog} --help`"
        raise UsageError(f"{arguments.command}: unknown argument {unknown[0]!r}; {hint}")
    return arguments


def _build() -> tuple[Parser, dict[str, Parser]]:
    parser = Parser(
        prog=PROG,
        description="Look at what the Debugger and the profiler saved of a job.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    below = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands: dict[str, Parser] = {}

    def add(name: str, help: str, *, has_source: bool = True) -> Parser:
        commands[name] = below.add_parser(name, help=help, description=help, allow_abbrev=False)
        if has_source:
            commands[name].add_argument("source", metavar="SOURCE", help=_SOURCE)
        return commands[name]

    _add_rules(add("rules", "Evaluate rules; one JSON object a line on stdout."))
    tensors = add("tensors", "Print what was saved, as one JSON document.")
    tensors.add_argument("--mode", metavar="MODE", help="TRAIN, EVAL, PREDICT or GLOBAL only")
    tensors.add_argument("--regex", metavar="REGEX", help="names that match only")
    plot = add("plot", "Draw tensors, reductions and scalars against steps.")
    plot.add_argument(
        "names", metavar="NAME", nargs="+",
        help="a tensor, a scalar, or NAME:REDUCTION such as fc.weight:abs_mean",
    )  # fmt: skip
    plot.add_argument("--out", type=Path, required=True, metavar="FILE", help=".png or .svg")
    report = add("report", "Write one page from everything that a job left.")
    report.add_argument("--out", type=Path, required=True, metavar="FILE.html", help="the page")
    profile = add("profile", "Write the profiler's report.")
    profile.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="profiler-output/ comes in there"
    )
    add(
        "processing",
        "Evaluate the rule that SageMaker laid out for a processing job.",
        has_source=False,
    )
    return parser, commands


def _add_rules(parser: Parser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE.json", help='{"rules": [...]}, as kennel writes it'
    )
    parser.add_argument(
        "--rule", action="append", default=[], metavar="NAME[:PARAMETER=VALUE,...]",
        help="a built-in rule; may be repeated. Without any: the classic five and ProfilerReport",
    )  # fmt: skip
    parser.add_argument(
        "--own", action="append", default=[], metavar="FILE.py:CLASS[:PARAMETER=VALUE,...]",
        help="a rule of your own on smdebug's Rule; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--follow", action="store_true", help="the job still runs; SIGTERM says that it has ended"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="for results; default: SOURCE/rule-output"
    )
    parser.add_argument(
        "--compat", action="store_true",
        help="the profiler's rules count as AWS does, mistakes included",
    )  # fmt: skip
