"""Evaluation: one rule over one job, from its first step to its result."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contract.hook_config import FAILED_NAME
from contract.rule_parameter import ParameterValue
from contract.rule_result import Finding, RuleResult, RuleStatus
from contract.rules import RuleSpec
from debugger.guard import guarded
from debugger.own_rules import build_own_rule, check_own_rule
from debugger.rules.rule import JobFacts, TensorRule, counted
from debugger.rules.table import RULE_CLASSES
from debugger.saved import Moment, SavedTensors
from debugger.tensors import Invoked, Rule, invoke

MOST_FINDINGS = 20  # that are kept; all are counted
OTHER_TRIALS = "other_trials"
NOT_ENOUGH = "not enough data: "
NOTHING_SAVED = (
    "no debugging data was saved by the job: add [debugger] to the job description "
    "(DebugHookConfig in AWS), and check that the job reached its first saved step"
)


def check_spec(spec: RuleSpec) -> None:
    """Raises SpecError before anything is read: parameters, or a user's file that is not there."""
    if spec.kind is None:
        check_own_rule(Path(spec.source))
    else:
        RULE_CLASSES[spec.rule].check_all(spec.values())


@dataclass(slots=True)
class Evaluation:
    """How one rule stands."""

    spec: RuleSpec
    status: RuleStatus = "InProgress"
    details: str = ""
    findings: list[Finding] = field(default_factory=list)
    num_findings: int = 0
    datapoints: int = 0
    last_step: int | None = None
    modified_at: str = ""
    _rule: Rule | None = None
    _is_over: bool = False
    _folder: Path | None = None

    def begin(self, saved: SavedTensors, others: list[SavedTensors], facts: JobFacts) -> None:
        """Make the rule."""
        made = guarded(f"rule {self.spec.name}", lambda: _build(self.spec, saved, others))
        self._folder = Path(saved.trial.path)
        self._rule = made.value
        if made.error:
            self.fail(made.error)
        if isinstance(self._rule, TensorRule):
            self._rule.learn(facts)

    def at(self, moment: Moment) -> None:
        """Ask about a saved step."""
        rule = self._rule
        if rule is None or self._is_over:
            return
        asked = guarded(self._what(moment.step), lambda: invoke(rule, moment.step))
        self.last_step = moment.step
        if asked.error:
            self.fail(asked.error)
            return
        came = asked.value or Invoked()
        self._is_over = came.is_last
        if not isinstance(rule, TensorRule):
            self.datapoints += 1
        if came.is_hit:
            self._hit(moment.step, self._finding(rule, moment))

    def idle(self, seconds: float) -> None:
        """No new step has come for so long."""
        self._later(lambda rule: rule.idle(seconds))

    def finish(self, saved: SavedTensors) -> None:
        """The job is over: say what could not be said before."""
        self._later(lambda rule: rule.finish())
        if self.status != "InProgress" or self._rule is None:
            return
        missing, shortage = self._lacks(saved)
        if missing:
            self.fail(missing)
        else:
            self._set("NoIssuesFound", shortage)

    def fail(self, reason: str) -> None:
        """It cannot be judged any further. What it found before stays true."""
        self._is_over = True
        if self.status == "IssuesFound":
            self._set("IssuesFound", f"{self.details}; then it failed: {reason}")
        else:
            self._set("Error", reason)

    def cut_short(self, num_steps: int, limit_seconds: float) -> None:
        """There was no time for the last steps."""
        said = f"{counted(num_steps, 'step')} not looked at: the limit is {limit_seconds:g} s"
        self.details = f"{self.details}; {said}" if self.details else said

    def result(self) -> RuleResult:
        """As it stands now."""
        rule = self._rule
        if isinstance(rule, TensorRule):
            self.datapoints = rule.report["Datapoints"] = rule.datapoints
        return RuleResult(
            name=self.spec.name,
            rule=self.spec.rule,
            status=self.status,
            details=self.details,
            findings=tuple(self.findings),
            num_findings=self.num_findings,
            datapoints=self.datapoints,
            last_step=self.last_step,
            parameters=_parameters(self.spec),
            report={} if rule is None else _plain(rule.report),
            modified_at=self.modified_at or _now(),
        )

    def _later(self, ask: Callable[[TensorRule], Finding | None]) -> None:
        """Something between or after steps, which only our own rules are asked."""
        rule = self._rule
        if self._is_over or not isinstance(rule, TensorRule):
            return
        asked = guarded(f"rule {self.spec.name}", lambda: ask(rule))
        if asked.error:
            self.fail(asked.error)
        elif asked.value is not None:
            rule.take(asked.value)
            place = rule.saved.global_step(asked.value.mode, asked.value.step)
            self._hit(place if place is not None else asked.value.step, rule.found.pop())

    def _finding(self, rule: Rule, moment: Moment) -> Finding:
        if isinstance(rule, TensorRule):
            return rule.found.pop()
        return Finding(
            step=moment.mode_step,
            mode=moment.mode,
            message=f"the condition of {self.spec.rule} in {Path(self.spec.source).name} is met",
        )

    def _hit(self, step: int, finding: Finding) -> None:
        """`step`: the global one, as in AWS's text."""
        self.num_findings += 1
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(finding)
        if self.status != "IssuesFound":
            # AWS's text to the letter, then our sentence.
            self._set(
                "IssuesFound",
                f"RuleEvaluationConditionMet: Evaluation of the rule {self.spec.rule} at step "
                f"{step} resulted in the condition being met\n{finding.message}",
            )

    def _lacks(self, saved: SavedTensors) -> tuple[str, str]:
        """What was never saved, and what should be said although nothing was found."""
        rule, words = self._rule, []
        if not saved.steps:
            return NOTHING_SAVED, ""
        if isinstance(rule, TensorRule):
            if missing := rule.missing():
                return missing, ""
            if shortage := rule.shortage():
                words.append(f"{NOT_ENOUGH}{shortage}")
            if remarks := rule.remarks():
                words.append(remarks)
        if self._folder is not None and (self._folder / FAILED_NAME).is_file():
            why = (self._folder / FAILED_NAME).read_text(encoding="utf-8", errors="replace")
            words.append(f"saving ended before training did: {' '.join(why.split())}")
        if saved.num_unreadable:
            lost = counted(saved.num_unreadable, "saved value")
            words.append(f"{lost} could not be read, see the log")
        return "", "; ".join(words)

    def _set(self, status: RuleStatus, details: str) -> None:
        self.status, self.details, self.modified_at = status, details, _now()

    def _what(self, step: int) -> str:
        return f"rule {self.spec.name} at step {step}"


def _build(spec: RuleSpec, saved: SavedTensors, others: list[SavedTensors]) -> Rule:
    parameters = {key: text for key, text in spec.parameters.items() if key != OTHER_TRIALS}
    if spec.kind is None:
        trials = [one.trial for one in others]
        return build_own_rule(Path(spec.source), spec.rule, parameters, saved.trial, trials)
    return RULE_CLASSES[spec.rule](saved, "", others, **parameters)


def _parameters(spec: RuleSpec) -> Mapping[str, ParameterValue]:
    return dict(spec.parameters) if spec.kind is None else spec.values()


def _plain(report: Mapping[str, Any]) -> dict[str, Any]:
    """AWS's envelope; a user's rule may have put anything into it."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(report), allow_nan=False, default=str))
    except (TypeError, ValueError):
        return {}
    return plain


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
