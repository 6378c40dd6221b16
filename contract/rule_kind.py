"""RuleKind: what a built-in rule is called, looks at and may be told."""

from dataclasses import dataclass
from typing import Literal

from contract.rule_parameter import RuleParameter

Scope = Literal["tensors", "profile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleKind:
    """A built-in rule."""

    name: str  # AWS's, which is also `rule_to_invoke`
    scope: Scope  # what it reads: saved tensors, or system metrics and timeline
    help: str  # one sentence: when it fires
    collections: tuple[str, ...] = ()  # that it needs and that are saved for it
    parameters: tuple[RuleParameter, ...] = ()
    # In AWS's reports parameters are read by their place: these, in this order. Others are hidden.
    reported: tuple[str, ...] = ()

    def parameter(self, name: str) -> RuleParameter | None:
        """The parameter called so; None when there is none."""
        return next((one for one in self.parameters if one.name == name), None)
