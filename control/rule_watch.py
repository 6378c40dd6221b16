"""RuleWatch: the child that evaluates rules while a job runs, and what it says.

It only reads what the job leaves. Whatever becomes of it, the job and its result stay as they are.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from types import TracebackType
from typing import IO, Any, Self

from contract.errors import HostError, KennelError, SpecError
from contract.files import write_json
from contract.hook_config import END_NAME
from contract.opt_ml import OptMl
from contract.rule_result import RULE_OUTPUT, RuleResult
from contract.rules import FAIL, STOP, RuleSpec
from control.child import KILLED_SECONDS, POLL_SECONDS, Child, Signals, our_variables, start_child
from control.leash import leashed
from control.rule_text import at_step, rule_line, sentence

DEBUGGER = (sys.executable, "-m", "debugger")
CONFIG_NAME, LOG_NAME = "rule-configs.json", "rules.log"  # in the run's folder
# The debugger takes at most 60 s for what is left once the job has ended.
LAST_SECONDS = 90.0
NICE = 10  # the job goes first
EVALUATED = (0, 1, 3)  # exit codes of a debugger that did its work
SAID = ("IssuesFound", "Error", "Stopped")  # worth a line at once; the rest stands in the table


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the rules came to."""

    results: tuple[RuleResult, ...] = ()
    stopped_by: str = ""  # the rule that stopped the job, and why, in one line
    failed_by: str = ""  # the rule for which the job counts as failed, and why


def rules_command(
    folder: str, *, follow: bool, debugger: tuple[str, ...] = DEBUGGER
) -> tuple[str, ...]:
    """The command that evaluates a run's rules."""
    words = ("rules", folder, "--config", f"{folder}/{CONFIG_NAME}")
    out = ("--out", f"{folder}/{RULE_OUTPUT}")
    return (*debugger, *words, *out, *(("--follow",) if follow else ()))


class RuleWatch:
    """Evaluates the rules of one run while the block lasts; without rules it does nothing.

    Args:
        say: gets the lines that belong into the job's output. Called from a thread of ours, too.
        debugger: the command that evaluates them.
    """

    def __init__(
        self,
        folder: Path,
        rules: tuple[RuleSpec, ...],
        say: Callable[[str], None],
        debugger: tuple[str, ...] = DEBUGGER,
    ) -> None:
        self._debugger = debugger
        self._folder, self._rules, self._say = folder, rules, say
        self._child: Child | None = None
        self._reader: threading.Thread | None = None
        self._results: dict[str, RuleResult] = {}
        self._actions: dict[str, str] = {}  # stop or fail -> the rule that asked for it first
        self._reasons: dict[str, str] = {}  # rule -> the debugger's words
        self._is_lost = False

    def __enter__(self) -> Self:
        if self._rules:
            document = {"rules": [rule.to_json() for rule in self._rules]}
            write_json(self._folder / CONFIG_NAME, document)
            self._start(follow=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def wants_stop(self) -> bool:
        """Whether a rule says that the job must end. Also notices when the child is gone."""
        if self._child is not None and self._child.poll() is not None:
            self._check_end(self._child)
        return STOP in self._actions

    def finish(self, bases: tuple[Path, ...], signals: Signals) -> Verdict:
        """The job has ended: have the rest evaluated, within a limit, and say what came of it.

        `bases`: /opt/ml of every host. A (further) signal cuts the evaluation short.
        """
        for base in bases:
            _mark_end(base)
        if self._child is not None:
            self._child.terminate()
            if self._wait(self._child, signals) == -signal.SIGTERM:
                # It came before the child could hear it: a job this short is read afterwards.
                self._end()
                self._start(follow=False)
                if self._child is not None:
                    self._wait(self._child, signals)
            if self._child is not None:
                self._check_end(self._child)
            self._end()
        return self._verdict()

    def _start(self, *, follow: bool) -> None:
        folder = str(self._folder.absolute())
        command = rules_command(folder, follow=follow, debugger=self._debugger)
        try:
            with (self._folder / LOG_NAME).open("a", encoding="utf-8") as log:
                child = start_child(
                    leashed(command),
                    extra={**our_variables(), "OMP_NUM_THREADS": "1"},
                    stdout=PIPE,
                    stderr=log,
                )
        except (OSError, HostError) as error:
            self._is_lost = True
            self._say(f"rules are not evaluated: {error}")
            return
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, child.pid, NICE)
        self._child = child
        if child.stdout:
            self._reader = threading.Thread(target=self._read, args=(child.stdout,), daemon=True)
            self._reader.start()

    def _wait(self, child: Child, signals: Signals) -> int | None:
        """The exit code; None when the limit, or somebody's patience, is over."""
        asked, deadline = signals.count, time.monotonic() + LAST_SECONDS
        while (code := child.poll()) is None and time.monotonic() < deadline:
            if signals.count > asked:
                break
            time.sleep(POLL_SECONDS)
        return code

    def _check_end(self, child: Child) -> None:
        """Say it, once, when it has not done its work: 1 is also how Python ends after an error."""
        if self._is_lost:
            return
        code = child.poll()
        if self._reader is not None and code is not None:
            child.kill()  # what it may have started would keep the stream open
            self._reader.join(timeout=KILLED_SECONDS)
        is_done = all(self._known(rule) for rule in self._rules)
        if code in EVALUATED and is_done:
            return
        self._is_lost = True
        if code is None:
            self._say(f"rules: their evaluation was not finished and is given up; {self._again()}")
        else:
            self._say(f"rules are no longer evaluated: {self._why(code)}; {self._again()}")

    def _why(self, code: int) -> str:
        """The signal, or the last line that the child left."""
        if code < 0:
            return f"their process was ended by {signal.Signals(-code).name}"
        path = self._folder / LOG_NAME
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        said = [line for line in lines if line.strip()]
        return said[-1].strip() if said else f"their process exited with {code}, see {path}"

    def _again(self) -> str:
        return f"afterwards: kennel debug rules {self._folder}"

    def _end(self) -> None:
        """Nothing of the child is left."""
        if self._child is not None:
            self._child.kill()
            self._child.wait(timeout=KILLED_SECONDS)
            self._child = None
        if self._reader is not None:
            self._reader.join(timeout=KILLED_SECONDS)
            self._reader = None

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with contextlib.suppress(ValueError, KeyError, KennelError):
                    self._hear(json.loads(line))

    def _hear(self, event: Any) -> None:
        """One event; what is none of ours raises and is left out."""
        if not isinstance(event, dict):
            raise SpecError(f"no event: {event!r}")
        if event["event"] == "result":
            result = RuleResult.from_json(event["result"])
            before = self._results.get(result.name)
            self._results[result.name] = result
            was = before.status if before else ""
            is_news = result.status in SAID or was in SAID  # also that it is no longer so
            if result.status != was and is_news and result.name in self._names:
                self._say(rule_line(result))
        elif event["event"] == "action":
            self._reasons.setdefault(event["rule"], " ".join(str(event["reason"]).split()))
            self._actions.setdefault(event["action"], event["rule"])

    @property
    def _names(self) -> list[str]:
        return [rule.name for rule in self._rules]

    def _verdict(self) -> Verdict:
        return Verdict(
            results=tuple(self._final(rule) for rule in self._rules),
            stopped_by=self._because(STOP),
            failed_by=self._because(FAIL),
        )

    def _final(self, rule: RuleSpec) -> RuleResult:
        """A rule that was still at work was cut short."""
        if known := self._known(rule):
            return known
        details = "it was not evaluated to its end"
        return RuleResult(name=rule.name, rule=rule.rule, status="Stopped", details=details)

    def _known(self, rule: RuleSpec) -> RuleResult | None:
        """What was said of a rule last, unless it is still at work."""
        known = self._results.get(rule.name)
        return None if known is None or known.status in ("InProgress", "Stopping") else known

    def _because(self, action: str) -> str:
        """`rule NAME at step N: why`; empty when no rule asked for it."""
        name = self._actions.get(action)
        if name is None:
            return ""
        result = self._results.get(name)
        if result is None or not result.findings:
            return f"rule {name}: {self._reasons[name]}"
        return f"rule {name}{at_step(result)}: {sentence(result)}"


def _mark_end(base: Path) -> None:
    """Say to all readers that nothing follows, as SageMaker does when a job has ended."""
    for folder in (OptMl(base).tensors_dir, OptMl(base).profiler_dir):
        if folder.is_dir():
            with contextlib.suppress(OSError):
                (folder / END_NAME).touch()
