"""The parser of the command line: argparse with one-line errors and suggestions."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from contract.errors import UsageError
from contract.strict import nearest

WIDTH = 96  # fixed, so that help reads the same everywhere
Action = Callable[[argparse.Namespace], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One verb of `kennel`: how it is described, which arguments it takes, what it does."""

    name: str
    help: str  # one line, for the list of commands
    description: str  # a few lines more, for its own help and docs/cli.md
    examples: tuple[str, ...]
    add_arguments: Callable[["Parser"], None]
    run: Action


class Parser(argparse.ArgumentParser):
    """Raises UsageError instead of printing a usage text and exiting."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", _formatter)
        # First, because argparse adds --help while it is set up.
        self.flags: list[str] = ["--help"]
        self.arguments: list[argparse.Action] = []
        self.is_intermixed = False  # flags may stand between positional words that repeat
        super().__init__(allow_abbrev=False, **settings)

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        """As argparse's; remembers what was added, for suggestions and docs/cli.md."""
        action = super().add_argument(*names, **settings)
        if action.dest != "help":
            self.remember(action)
        return action

    def remember(self, *actions: argparse.Action) -> None:
        """Note arguments that came in another way, through a group."""
        for action in actions:
            self.arguments.append(action)
            self.flags.extend(action.option_strings)

    def error(self, message: str) -> NoReturn:
        """One line instead of argparse's usage text."""
        raise UsageError(f"{message}; see `{self.prog} --help`")


def parser_of(command: Command) -> Parser:
    """The parser of one command, complete with its examples."""
    examples = "\n".join(f"  {line}" for line in command.examples)
    parser = Parser(
        prog=f"kennel {command.name}",
        description=command.description,
        epilog=f"examples:\n{examples}",
    )
    command.add_arguments(parser)
    return parser


def parse(command: Command, words: Sequence[str]) -> argparse.Namespace:
    """Parse one command's words. Raises UsageError for anything that it does not know."""
    parser = parser_of(command)
    read = parser.parse_known_intermixed_args if parser.is_intermixed else parser.parse_known_args
    arguments, unknown = read(list(words))
    if unknown:
        word = unknown[0].split("=")[0]
        near = nearest(word, parser.flags) if word.startswith("-") else None
        hint = f"; did you mean {near}?" if near else f"; see `{parser.prog} --help`"
        raise UsageError(f"kennel {command.name}: unknown argument {unknown[0]!r}{hint}")
    return arguments


def add_output_format(parser: Parser) -> None:
    """The flag `-o json`, the same everywhere."""
    parser.add_argument(
        "-o",
        "--output",
        choices=("table", "json"),
        default="table",
        help="what stdout gets: text for people, or one JSON document",
    )


def pair(text: str) -> tuple[str, str]:
    """`name=value` as two words, for repeatable flags."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    return name.strip(), value


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, width=WIDTH, max_help_position=30)
