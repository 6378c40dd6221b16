"""The parts of a TuningSpec besides its ranges, each read from plain data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from contract.errors import SpecError
from contract.metrics import METRIC_BY_NAME, METRICS, find_metric
from contract.ranges import only_known
from contract.strict import nearest, nearest_word

Goal = Literal["Minimize", "Maximize"]
EarlyStopping = Literal["Off", "Auto"]
WarmStartType = Literal["IdenticalDataAndAlgorithm", "TransferLearning"]
GOALS: tuple[Goal, ...] = ("Minimize", "Maximize")
WARM_START_TYPES: tuple[WarmStartType, ...] = ("IdenticalDataAndAlgorithm", "TransferLearning")
MOST_PARENTS = 5  # source: SageMaker API reference, WarmStartConfig
COMPLETION = ("target_objective", "not_improving", "on_convergence")
RESOURCES = ("min_resource", "max_resource")


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The metric that tuning maximises or minimises."""

    metric: str  # our name of it
    goal: Goal

    @property
    def maximize(self) -> bool:
        """True when higher is better."""
        return self.goal == "Maximize"

    @property
    def every_epoch(self) -> bool:
        """Whether a trial reports it each epoch; otherwise nothing can be stopped early by it."""
        return METRIC_BY_NAME[self.metric].every_epoch

    def is_better(self, value: float, than: float) -> bool:
        """True when `value` beats `than`."""
        return value > than if self.maximize else value < than


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What ends a study before its budget does."""

    target_objective: float | None = None  # reached by a trial: done
    not_improving: int | None = None  # so many trials in a row without a better one: done
    on_convergence: bool = False  # the tuner judges that nothing more is to be gained: done


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperband:
    """Epochs that Hyperband gives a trial: at least, at most. One resource unit is one epoch."""

    min_resource: int = 1
    max_resource: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStart:
    """Earlier tuning jobs whose trials this one learns from."""

    parents: tuple[str, ...]  # names of tuning jobs; here each is a file PARENT.json, a Study
    type: WarmStartType = "IdenticalDataAndAlgorithm"


def read_objective(data: Mapping[str, Any]) -> Objective:
    """From `objective` and `goal`; without a goal, the metric's own. Raises SpecError."""
    given = data.get("objective")
    if not isinstance(given, str):
        names = ", ".join(metric.name for metric in METRICS)
        raise SpecError(f"tuning.objective: expected one of {names}, got {given!r}")
    metric = find_metric(given)
    if metric is None:
        known = [name for metric in METRICS for name in (metric.name, *metric.aliases)]
        twin = f"validation:{given.strip().lower()}"
        near = twin if twin in known else nearest(given, known)
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(known)}"
        raise SpecError(f"tuning.objective: no metric is called {given!r}; {hint}")
    own: Goal = "Maximize" if metric.maximize else "Minimize"
    goal = read_word(data, "goal", GOALS, own)
    return Objective(metric=metric.name, goal="Maximize" if goal == "Maximize" else "Minimize")


def read_completion(data: Mapping[str, Any]) -> Completion:
    """From the names of COMPLETION. Raises SpecError."""
    converged = data.get("on_convergence", False)
    if not isinstance(converged, bool):
        raise SpecError(f"tuning.on_convergence: expected true or false, got {converged!r}")
    return Completion(
        target_objective=read_number(data, "target_objective"),
        not_improving=read_whole(data, "not_improving"),
        on_convergence=converged,
    )


def read_number(data: Mapping[str, Any], name: str) -> float | None:
    """A finite number, or None where none is given. Raises SpecError."""
    value = data.get(name)
    if value is None:
        return None
    try:
        is_number = not isinstance(value, bool) and math.isfinite(value)
    except (TypeError, OverflowError):
        is_number = False
    if not is_number:
        raise SpecError(f"tuning.{name}: expected a number, got {str(value)[:40]!r}")
    return float(value)


def read_hyperband(data: Mapping[str, Any], epochs: int) -> Hyperband | None:
    """From the names of RESOURCES; at most `epochs`, those of the job. None without Hyperband.

    Raises SpecError.
    """
    if data.get("strategy") != "Hyperband":
        for name in RESOURCES:
            if data.get(name) is not None:
                raise SpecError(f"tuning.{name}: only strategy Hyperband has resources")
        return None
    low, most = (read_whole(data, name) for name in RESOURCES)
    least, high = 1 if low is None else low, epochs if most is None else most
    if not 1 <= least <= high:
        name = "the job's epochs" if most is None else "max_resource"
        raise SpecError(f"tuning.min_resource: expected 1 to {high}, {name}, got {least}")
    return Hyperband(min_resource=least, max_resource=high)


def read_warm_start(data: Mapping[str, Any]) -> WarmStart | None:
    """From the table `warm_start`. Raises SpecError."""
    table = data.get("warm_start")
    if table is None:
        return None
    if not isinstance(table, Mapping):
        raise SpecError(f"warm_start: expected a table, got {table!r}")
    only_known("warm_start", table, ("parents", "type"))
    parents = table.get("parents")
    is_list = isinstance(parents, list) and all(isinstance(name, str) for name in parents)
    if not is_list or not parents or len(parents) > MOST_PARENTS:
        raise SpecError(
            f"warm_start.parents: expected a list of 1 to {MOST_PARENTS} studies, got {parents!r}"
        )
    if len(set(parents)) != len(parents):
        raise SpecError(f"warm_start.parents: a study is listed twice in {parents!r}")
    word = read_word(table, "type", WARM_START_TYPES, WARM_START_TYPES[0], where="warm_start")
    kind: WarmStartType = next(name for name in WARM_START_TYPES if name == word)
    return WarmStart(parents=tuple(parents), type=kind)


def read_whole(data: Mapping[str, Any], name: str) -> int | None:
    """A whole number or nothing. Raises SpecError."""
    value = data.get(name)
    if value is not None and type(value) is not int:
        raise SpecError(f"tuning.{name}: expected a whole number, got {value!r}")
    return value


def read_word(
    data: Mapping[str, Any],
    name: str,
    words: tuple[str, ...],
    default: str,
    *,
    where: str = "tuning",
) -> str:
    """One of `words`, in any case. Raises SpecError with the nearest one."""
    value = data.get(name, default)
    for word in words:
        if isinstance(value, str) and value.lower() == word.lower():
            return word
    near = nearest_word(value, words) if isinstance(value, str) else None
    hint = f"; did you mean {near!r}?" if near else ""
    raise SpecError(f"{where}.{name}: expected one of {' | '.join(words)}, got {value!r}{hint}")
