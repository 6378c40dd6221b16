"""RuleResult: what a rule found. Written by `debugger`, shown by `control`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from contract.errors import SpecError

# Source: SageMaker API reference, DebugRuleEvaluationStatus.
RuleStatus = Literal["InProgress", "NoIssuesFound", "IssuesFound", "Error", "Stopping", "Stopped"]

REPORT_NAME = "report.json"  # of one rule, in rule-output/<RuleConfigurationName>/
RULES_NAME = "rules.json"  # of all of them, in rule-output/
RULE_OUTPUT = "rule-output"  # below the job's folder, as below the job's prefix in S3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One time that a rule fired."""

    step: int  # of its mode; a window's number for the profiler's rules
    mode: str = ""  # TRAIN, EVAL, GLOBAL; empty for the profiler's rules
    tensor: str = ""  # or the node and what of it
    value: float | None = None  # what was measured
    threshold: float | None = None  # what it was compared with
    message: str  # one sentence with the evidence
    advice: str = ""  # what it means and what to change


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """How one rule stands, in AWS's words and ours."""

    name: str  # RuleConfigurationName
    rule: str  # rule_to_invoke
    status: RuleStatus
    details: str = ""  # StatusDetails
    findings: tuple[Finding, ...] = ()  # the first ones; num_findings counts all
    num_findings: int = 0
    datapoints: int = 0  # steps, or samples, that were looked at
    last_step: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)  # AWS's envelope of five fields
    modified_at: str = ""  # ISO 8601, UTC

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RuleResult":
        """Read what `to_json` wrote. Raises SpecError."""
        try:
            findings = tuple(Finding(**one) for one in data.get("findings", ()))
            return cls(**{**data, "findings": findings})
        except TypeError as error:
            raise SpecError(f"a rule's result is not one we know: {error}") from error
