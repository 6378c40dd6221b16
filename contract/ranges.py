"""Ranges: what a tuning job may try for one hyperparameter, checked against the table of knobs."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from contract.aliases import SAME_VALUE, resolve_aliases
from contract.errors import HyperparameterError, SpecError
from contract.hyperparameters import BY_NAME
from contract.setting import AUTO, Scaling, Setting, Value
from contract.strict import nearest, nearest_word

GivenScaling = Literal["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"]
SCALINGS: tuple[Scaling, ...] = ("Linear", "Logarithmic", "ReverseLogarithmic")

# Source: SageMaker API reference, ParameterRanges and CategoricalParameterRange.
MOST_RANGES = 30  # of each kind
MOST_VALUES = 30
MOST_CHARACTERS = 256  # of a name, a bound or a categorical value


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuousRange:
    """Any number from `minimum` to `maximum`, both included."""

    minimum: float
    maximum: float
    scaling: Scaling = "Linear"  # Auto is resolved when the range is read


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerRange:
    """Any whole number from `minimum` to `maximum`, both included."""

    minimum: int
    maximum: int
    scaling: Scaling = "Linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoricalRange:
    """One of `values`, which have the type of the knob: 32 and not "32"."""

    values: tuple[Value, ...]


Range = ContinuousRange | IntegerRange | CategoricalRange


def text_of(value: Value) -> str:
    """A typed value as SageMaker sends it: `true`, `32`, `0.04`; a float keeps every digit."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def text_for(name: str, value: Value) -> str:
    """`text_of` a value of this hyperparameter, in its own words: `auto` for what stands for it."""
    setting = BY_NAME.get(name)
    return setting.to_text(value) if setting else text_of(value)


def read_ranges(data: Mapping[str, Any]) -> dict[str, Range]:
    """Ranges by our names: `{min, max[, scaling]}` is numeric, a list is categorical.

    Raises SpecError or HyperparameterError: an unknown name (with the nearest one), a value that
    the knob does not take, a limit of SageMaker's that is exceeded.
    """
    ranges: dict[str, Range] = {}
    for key, given in data.items():
        name, one = _read_range(key, given)
        if name in ranges:
            raise SpecError(f"ranges.{key}: {name} is searched already; give one range")
        ranges[name] = one
    for kind in (ContinuousRange, IntegerRange, CategoricalRange):
        count = sum(isinstance(item, kind) for item in ranges.values())
        if count > MOST_RANGES:
            raise SpecError(
                f"ranges: expected at most {MOST_RANGES} of a kind, got {count} of {kind.__name__}"
            )
    return ranges


def to_data(name: str, value: Value) -> Value:
    """A hyperparameter's value for JSON: typed, but `auto` in its own word."""
    setting = BY_NAME.get(name)
    return setting.to_data(value) if setting else value


def from_data(name: str, value: Value) -> Value:
    """What `to_data` wrote, typed again."""
    setting = BY_NAME.get(name)
    return setting.from_data(value) if setting else value


def range_to_json(name: str, one: Range) -> Any:
    """Plain data that `read_ranges` reads back."""
    if isinstance(one, CategoricalRange):
        return [to_data(name, value) for value in one.values]
    return {"min": one.minimum, "max": one.maximum, "scaling": one.scaling}


def resolve_value(key: str, value: Any) -> tuple[Setting, Value]:
    """The knob that `key` means and `value` in its type. Aliases count: num_layers=18 is an arch.

    Raises HyperparameterError.
    """
    if isinstance(value, (dict, list)) or value is None:
        raise HyperparameterError(key, value, "one value")
    text = text_of(value)
    resolved, _ = resolve_aliases({key: text}, BY_NAME)
    if len(resolved) != 1:
        raise HyperparameterError(key, text, "a hyperparameter that training uses, by itself")
    ((name, ours),) = resolved.items()
    setting = BY_NAME.get(name)
    if setting is None:
        near = nearest(name, [*BY_NAME, *SAME_VALUE])
        raise HyperparameterError(key, text, "a known name (docs/hyperparameters.md)", near)
    return setting, setting.parse(ours)


def only_known(where: str, data: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raises SpecError for a name in `data` that is not among `known`, with the nearest one."""
    names = list(known)
    for key in data:
        if key not in names:
            near = nearest(key, names)
            hint = f"did you mean {near!r}?" if near else f"known: {', '.join(names)}"
            raise SpecError(f"{where}: unknown name {key!r}; {hint}")


def num_values(one: Range) -> int | None:
    """How many different values a range holds; None for a continuous one."""
    if isinstance(one, CategoricalRange):
        return len(one.values)
    return one.maximum - one.minimum + 1 if isinstance(one, IntegerRange) else None


def share_above(one: ContinuousRange | IntegerRange, bound: float) -> float:
    """The share of draws above `bound`, 0 to 1, as the range's scaling spreads them."""
    low, high = float(one.minimum), float(one.maximum)
    if bound <= low:
        return 1.0
    if bound >= high:
        return 0.0
    if one.scaling == "Logarithmic":
        return math.log(high / bound) / math.log(high / low)
    if one.scaling == "ReverseLogarithmic":
        return math.log((1 - bound) / (1 - high)) / math.log((1 - low) / (1 - high))
    return (high - bound) / (high - low)


def share_below(one: ContinuousRange | IntegerRange, bound: float) -> float:
    """The share of draws below `bound`, 0 to 1."""
    return 1.0 - share_above(one, bound)


def _read_range(key: str, given: Any) -> tuple[str, Range]:
    if isinstance(given, list):
        return _categorical(key, given)
    if isinstance(given, Mapping):
        return _numeric(key, given)
    raise SpecError(
        f"ranges.{key}: expected {{ min = ..., max = ... }} or a list of values, got {given!r}; "
        "one value belongs under [hyperparameters]"
    )


def _categorical(key: str, given: list[Any]) -> tuple[str, CategoricalRange]:
    if not 1 <= len(given) <= MOST_VALUES:
        raise SpecError(f"ranges.{key}: expected 1 to {MOST_VALUES} values, got {len(given)}")
    settings_and_values = [resolve_value(key, value) for value in given]
    values = tuple(value for _, value in settings_and_values)
    if len(set(values)) != len(values):
        raise SpecError(f"ranges.{key}: a value is listed twice in {given!r}")
    for value in values:
        _check_length(key, value)
    return settings_and_values[0][0].name, CategoricalRange(values=values)


def _numeric(key: str, given: Mapping[str, Any]) -> tuple[str, Range]:
    only_known(f"ranges.{key}", given, ("min", "max", "scaling"))
    if "min" not in given or "max" not in given:
        raise SpecError(f"ranges.{key}: expected min and max, got {dict(given)!r}")
    name = key.replace("_", "-").lower()
    named = BY_NAME.get(SAME_VALUE.get(name, name))
    if named is not None and named.type in (bool, str):
        raise SpecError(f"ranges.{key}: {named.name} is {named.expected()}: give a list")
    (setting, low), (_, high) = (resolve_value(key, given[bound]) for bound in ("min", "max"))
    if isinstance(low, (bool, str)) or isinstance(high, (bool, str)):
        raise SpecError(f"ranges.{key}: {setting.name} is {setting.expected()}: give a list")
    if setting.auto in (low, high):
        raise SpecError(f"ranges.{key}: {AUTO} is no bound: give a list, or min >= 1")
    if not low < high:
        raise SpecError(f"ranges.{key}: expected min < max, got {low} and {high}")
    scaling = _scaling(key, given.get("scaling", "Auto"), setting, low, high)
    for value in (low, high):
        _check_length(key, value)
    if setting.type is int:
        return setting.name, IntegerRange(minimum=int(low), maximum=int(high), scaling=scaling)
    return setting.name, ContinuousRange(minimum=low, maximum=high, scaling=scaling)


def _scaling(key: str, word: Any, setting: Setting, low: float, high: float) -> Scaling:
    """What the range's own word, or the table for Auto, comes to. Raises SpecError."""
    if word == "Auto":
        return "Linear" if setting.scaling == "Logarithmic" and low <= 0 else setting.scaling
    if word not in SCALINGS:
        near = nearest_word(word, ("Auto", *SCALINGS)) if isinstance(word, str) else None
        hint = f"; did you mean {near!r}?" if near else ""
        raise SpecError(
            f"ranges.{key}: scaling: expected one of Auto | {' | '.join(SCALINGS)}, got "
            f"{word!r}{hint}"
        )
    if word == "Logarithmic" and low <= 0:
        raise SpecError(f"ranges.{key}: Logarithmic needs min > 0, got {low}")
    if word == "ReverseLogarithmic" and (setting.type is int or low < 0 or high >= 1):
        raise SpecError(
            f"ranges.{key}: ReverseLogarithmic is for numbers with 0 <= min and max < 1, "
            f"got {low} to {high}"
        )
    scaling: Scaling = word
    return scaling


def _check_length(key: str, value: Value) -> None:
    if len(text_of(value)) > MOST_CHARACTERS:
        raise SpecError(f"ranges.{key}: a value has more than {MOST_CHARACTERS} characters")
