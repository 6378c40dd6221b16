"""Verdict: what one rule says of a profile, before it has a name and a place in a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from contract.rule_result import Finding, RuleResult

MOST_FINDINGS = 20


class State(StrEnum):
    """How a rule stands, in words. The first words of RuleResult.details."""

    FIRED = "fired"
    FINE = "checked and fine"
    NOT_ENOUGH = "NOT ENOUGH DATA"
    NO_METRIC = "no such metric"


def state_of(result: RuleResult) -> State | None:
    """Of a profiler rule's result; None when the rule itself failed."""
    if result.status == "IssuesFound":
        return State.FIRED
    return next((state for state in State if result.details.startswith(f"{state}:")), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """State and evidence; the numbers of AWS's envelope."""

    state: State
    sentence: str  # what was measured, or what is missing; without the state
    triggered: int = 0
    violations: int = 0
    datapoints: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)
    findings: Sequence[Finding] = ()


def not_enough(num: int, needed: int, what: str, fitted: str = "") -> Verdict:
    """Less data than the rule needs: more than `needed` are."""
    more = f"; {fitted}" if fitted else ""
    sentence = f"{num} {what}, more than {needed} are needed{more}"
    return Verdict(state=State.NOT_ENOUGH, sentence=sentence, datapoints=num)


def no_metric(metric: str, why: str, details: Mapping[str, Any] | None = None) -> Verdict:
    """The profile has nothing of the kind."""
    sentence = f"the profile holds no {metric}; {why}"
    return Verdict(state=State.NO_METRIC, sentence=sentence, details=details or {})


def replayed(
    triggered: int,
    violations: int,
    datapoints: int,
    details: Mapping[str, Any],
    patience: int = 0,
) -> Verdict:
    """What AWS's arithmetic gives. AWS does not say why a rule did not fire; this does."""
    if triggered:
        state, sentence = State.FIRED, f"in {triggered} of AWS's windows or samples"
    elif datapoints <= patience:
        state = State.NOT_ENOUGH
        sentence = f"{datapoints} data points, more than {patience} are needed"
    else:
        state, sentence = State.FINE, f"{datapoints} data points"
    return Verdict(
        state=state,
        sentence=f"AWS's arithmetic: {sentence}",
        triggered=triggered,
        violations=violations,
        datapoints=datapoints,
        details=details,
    )
