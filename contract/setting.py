"""Setting: one declaration of a knob that feeds parser, validation, docs and tuning ranges."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from contract.errors import HyperparameterError
from contract.strict import in_words, nearest, to_bool, to_float, to_int, unquote

Value = bool | int | float | str
Scaling = Literal["Linear", "Logarithmic", "ReverseLogarithmic"]

AUTO = "auto"  # the word for a number that the job itself finds out


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One knob. Bounds are inclusive unless `above` or `below` says otherwise."""

    name: str  # as users type it, with hyphens: `batch-size`
    type: type  # bool, int, float or str: decides the conversion
    default: Value
    help: str  # meaning and unit, one sentence
    group: str  # heading in --help and in docs/hyperparameters.md
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None  # exclusive lower bound
    below: float | None = None  # exclusive upper bound
    choices: tuple[str, ...] = ()
    known: tuple[str, ...] = ()  # choices, too many to list; `known_as` says what they are
    known_as: str = ""
    tuning: tuple[float, float] | tuple[str, ...] | None = None  # a range worth searching
    scaling: Scaling = "Linear"
    auto: int | None = None  # outside the bounds: the number that the word `auto` is stored as

    def expected(self) -> str:
        """What a correct value looks like, for errors and docs."""
        if self.known:
            return self.known_as
        bounds = {">=": self.minimum, ">": self.above, "<=": self.maximum, "<": self.below}
        text = in_words(self.type, self.choices, bounds)
        return text if self.auto is None else f"{text}, or auto"

    def parse(self, text: str) -> Value:
        """Convert and check one string as SageMaker sends it. Raises HyperparameterError."""
        plain = unquote(text)
        if self.auto is not None and plain.lower() == AUTO:
            return self.auto
        converters: dict[type, Any] = {bool: to_bool, int: to_int, float: to_float, str: str}
        try:
            value: Value = converters[self.type](plain)
        except (ValueError, OverflowError):
            raise HyperparameterError(self.name, plain, self.expected()) from None
        if self.auto is not None and value == self.auto:  # what stands for the word inside alone
            raise HyperparameterError(self.name, plain, self.expected())
        return self.check(value)

    def to_text(self, value: Value) -> str:
        """`value` as SageMaker would send it; `parse` reads it back."""
        if self.auto is not None and value == self.auto:
            return AUTO
        return str(value).lower() if isinstance(value, bool) else str(value)

    def to_data(self, value: Value) -> Value:
        """`value` for JSON: in its type, but `auto` in its own word. `from_data` reads it back."""
        return AUTO if self.auto is not None and value == self.auto else value

    def from_data(self, value: Value) -> Value:
        """What `to_data` wrote, typed again; nothing is checked."""
        return self.auto if self.auto is not None and value == AUTO else value

    def check(self, value: Value) -> Value:
        """`value` itself when type and range are right. Raises HyperparameterError otherwise."""
        if self.type is float and type(value) is int:
            value = float(value)
        if type(value) is not self.type or not self._in_range(value):
            near = nearest(str(value), self.known)
            raise HyperparameterError(self.name, value, self.expected(), near)
        return value

    def _in_range(self, value: Value) -> bool:
        if self.choices or self.known:
            return value in (*self.choices, *self.known)
        if isinstance(value, str):
            return True
        if self.auto is not None and value == self.auto:
            return True
        # Written this way round, every comparison refuses NaN too.
        return (
            (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


def knob(default: Value, group: str, help: str, **limits: Any) -> Any:
    """A dataclass field that carries its Setting; `settings_of` reads it back."""
    return field(default=default, metadata={"group": group, "help": help, **limits})


def settings_of(cls: type) -> tuple[Setting, ...]:
    """The Settings of a dataclass made of `knob` fields, in the order they are written."""
    settings = []
    for item in fields(cls):
        default: Any = item.default
        name = item.name.replace("_", "-")
        settings.append(Setting(name=name, type=type(default), default=default, **item.metadata))
    return tuple(settings)
