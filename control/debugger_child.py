"""The command `python -m debugger`, asked once: what it answers, and what it refuses."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from subprocess import PIPE
from typing import Any

from contract.errors import HostError, UsageError
from contract.rule_result import RuleResult
from control.child import KILLED_SECONDS, Child, our_variables, start_child
from control.rule_watch import DEBUGGER

LIMIT_SECONDS = 3600.0  # gigabytes of tensors take minutes to read
FINE, FOUND, IMPOSSIBLE, ERRORS, UNABLE = 0, 1, 2, 3, 74  # its exit codes
PREFIX = "debugger: "  # of its complaints
OWN_NAME, OUR_NAME = "python -m debugger", "kennel debug"  # people have typed the latter


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What it printed, and its exit code: FINE, FOUND or ERRORS."""

    code: int
    output: str

    def document(self) -> Any:
        """The JSON document on stdout. Raises HostError: there is none."""
        try:
            return json.loads(self.output)
        except ValueError:
            raise HostError(f"the debugger's answer is no JSON: {self.output[:200]!r}") from None

    def results(self) -> tuple[RuleResult, ...]:
        """The last word on each rule, in the order of the first ones."""
        found: dict[str, RuleResult] = {}
        for event in self._events():
            if event.get("event") == "result":
                result = RuleResult.from_json(event["result"])
                found[result.name] = result
        return tuple(found.values())

    def _events(self) -> Iterator[dict[str, Any]]:
        for line in self.output.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event


def ask_debugger(*words: str, debugger: Sequence[str] = DEBUGGER) -> Answer:
    """Run it to its end. Raises UsageError when it refuses, HostError when it broke."""
    child = start_child((*debugger, *words), extra=our_variables(), stdout=PIPE, stderr=PIPE)
    output, complaints = _all_of(child)
    last = next((line for line in reversed(complaints.splitlines()) if line.strip()), "")
    last = last.strip().removeprefix(PREFIX).replace(OWN_NAME, OUR_NAME)
    if child.returncode == IMPOSSIBLE:
        raise UsageError(last or "the debugger refuses, and does not say why")
    if child.returncode == UNABLE:  # a full disk, S3 that does not answer: it says so itself
        raise HostError(last or "the debugger cannot go on, and does not say why")
    if child.returncode not in (FINE, FOUND, ERRORS):
        raise HostError(f"the debugger ended with {child.returncode}: {last or 'without a word'}")
    if child.returncode == FOUND and not output.strip():  # how Python ends after an error
        raise HostError(f"the debugger broke: {last}")
    return Answer(code=child.returncode, output=output)


def _all_of(child: Child) -> tuple[str, str]:
    """Both streams to their end. Nothing of the child is left, also after Ctrl-C."""
    try:
        output, complaints = child.communicate(timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise HostError(f"the debugger was not done after {LIMIT_SECONDS:.0f} s") from None
    finally:
        child.kill()
        child.wait(timeout=KILLED_SECONDS)
    return output, complaints
