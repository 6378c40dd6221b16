"""RuleSpec: which rules watch a job, what they are told, and what follows when one fires.

The same specs come from `[rules.NAME]` of a job description, from the words of
`kennel debug rules`, and from SageMaker's DebugRuleConfigurations.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contract.errors import SpecError
from contract.profile_rules import PROFILE_RULES
from contract.rule_kind import RuleKind
from contract.rule_parameter import ParameterValue
from contract.strict import nearest
from contract.tensor_rules import NOT_FOR_PICTURES, TENSOR_RULES

RULES: Mapping[str, RuleKind] = {kind.name: kind for kind in (*TENSOR_RULES, *PROFILE_RULES)}

STOP, FAIL, WEBHOOK = "stop", "fail", "webhook"
ACTIONS = (STOP, FAIL, WEBHOOK)
MOST_RULES = 20  # of each scope. Source: API reference, CreateTrainingJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What follows when a rule fires: the job is stopped, counts as failed, or somebody hears."""

    name: str  # one of ACTIONS
    url: str = ""  # of a webhook: http or https, gets the RuleResult as JSON

    def __post_init__(self) -> None:
        if self.name not in ACTIONS:
            raise SpecError(f"action: expected one of {', '.join(ACTIONS)}, got {self.name!r}")
        if (self.name == WEBHOOK) != self.url.startswith(("http://", "https://")):
            raise SpecError(f"action {self.name}: a webhook, and nothing else, needs an http url")

    @classmethod
    def parse(cls, given: Any) -> "Action":
        """`"stop"`, `"fail"`, or `{webhook = "https://..."}`. Raises SpecError."""
        if isinstance(given, str):
            return cls(name=given)
        if isinstance(given, dict) and list(given) == [WEBHOOK]:
            return cls(name=WEBHOOK, url=str(given[WEBHOOK]))
        raise SpecError(
            f'action: expected "{STOP}", "{FAIL}" or {{{WEBHOOK} = "https://..."}}, got {given!r}'
        )

    def to_plain(self) -> str | dict[str, str]:
        """As `parse` reads it."""
        return {WEBHOOK: self.url} if self.name == WEBHOOK else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSpec:
    """One rule that watches a job."""

    name: str  # RuleConfigurationName: free, unique within a job
    rule: str  # rule_to_invoke: a built-in one, or a class in `source`
    parameters: Mapping[str, str] = field(default_factory=dict)  # those given, as text
    source: str = ""  # a Python file with the user's own class; empty for built-in rules
    actions: tuple[Action, ...] = ()

    def __post_init__(self) -> None:
        if not self.source:
            check_parameters(kind_of(self.rule), self.parameters)

    @property
    def kind(self) -> RuleKind | None:
        """The built-in rule; None for the user's own."""
        return None if self.source else RULES[self.rule]

    def values(self) -> dict[str, ParameterValue]:
        """Every parameter of a built-in rule by name, typed, defaults included."""
        kind = kind_of(self.rule)
        return {
            one.name: one.parse(self.parameters[one.name], self.rule)
            if one.name in self.parameters
            else one.default
            for one in kind.parameters
        }

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` reads it back."""
        return {
            "name": self.name,
            "rule": self.rule,
            "parameters": dict(self.parameters),
            "source": self.source,
            "actions": [one.to_plain() for one in self.actions],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RuleSpec":
        """Read what `to_json` wrote. Raises SpecError."""
        try:
            actions = tuple(Action.parse(one) for one in data.get("actions", ()))
            return cls(**{**data, "actions": actions})
        except TypeError as error:
            raise SpecError(f"a rule's description is not one we know: {error}") from error


def kind_of(name: str) -> RuleKind:
    """The built-in rule called so. Raises SpecError with the nearest name."""
    if name in RULES:
        return RULES[name]
    if name in NOT_FOR_PICTURES:
        raise SpecError(f"rule {name} is {NOT_FOR_PICTURES[name]} and says nothing about pictures")
    by_lower = {known.lower(): known for known in RULES}
    near = by_lower.get(name.lower()) or nearest(name, RULES)
    hint = f"did you mean {near}?" if near else f"known: {', '.join(RULES)}"
    raise SpecError(f"rule {name!r} is not a built-in one; {hint}")


def check_parameters(kind: RuleKind, given: Mapping[str, str]) -> None:
    """Raises SpecError: an unknown parameter, with the nearest one, or a wrong value."""
    for name, text in given.items():
        known = kind.parameter(name)
        if known is None:
            names = [one.name for one in kind.parameters]
            near = nearest(name, names)
            hint = f"did you mean {near}?" if near else f"known: {', '.join(names)}"
            raise SpecError(f"rule {kind.name} has no parameter {name!r}; {hint}")
        known.parse(text, kind.name)
