"""Terminal: progress goes to stderr, results to stdout, so that `-o json` can be piped."""

import sys


def say(text: str) -> None:
    """One line of progress."""
    print(text, file=sys.stderr, flush=True)


def show(text: str) -> None:
    """A result."""
    print(text, flush=True)
