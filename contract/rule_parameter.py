"""RuleParameter: one knob of a rule, with AWS's name and default."""

from dataclasses import dataclass
from typing import Any

from contract.errors import SpecError
from contract.strict import in_words, to_bool, to_float, to_int, unquote

ParameterValue = bool | int | float | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleParameter:
    """One knob of a rule. Bounds are inclusive."""

    name: str
    type: type  # bool, int, float or str: decides the conversion
    default: ParameterValue  # None: not given, which the rule gives a meaning of its own
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def expected(self) -> str:
        """What a correct value looks like, for errors and docs."""
        return in_words(self.type, self.choices, {">=": self.minimum, "<=": self.maximum})

    def parse(self, text: str, rule: str) -> ParameterValue:
        """Convert and check one string as AWS sends it; `None` or nothing is the default.

        Raises SpecError, which names the rule.
        """
        plain = unquote(text)
        if plain in ("", "None"):
            return self.default
        converters: dict[type, Any] = {bool: to_bool, int: to_int, float: to_float, str: str}
        try:
            value = converters[self.type](plain)
        except (ValueError, OverflowError):
            raise self._error(rule, plain) from None
        is_number = self.type in (int, float)
        if self.choices and value not in self.choices:
            raise self._error(rule, plain)
        if is_number and self.minimum is not None and not value >= self.minimum:
            raise self._error(rule, plain)
        if is_number and self.maximum is not None and not value <= self.maximum:
            raise self._error(rule, plain)
        return value  # type: ignore[no-any-return]

    def _error(self, rule: str, got: str) -> SpecError:
        return SpecError(f"rule {rule}: {self.name}: expected {self.expected()}, got {got!r}")
