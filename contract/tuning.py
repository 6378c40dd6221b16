"""TuningSpec: what one tuning job searches, in SageMaker's words; the same for optuna and for AWS.

It travels as plain data: in TUNING.toml, in study.json, and as the value of the hyperparameter
`kennel_tuning`, which makes a training job a study.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from contract.errors import HyperparameterError, SpecError
from contract.hyperparameters import BY_NAME, ParsedHyperparameters, parse_hyperparameters
from contract.ranges import (
    CategoricalRange,
    Range,
    num_values,
    only_known,
    range_to_json,
    read_ranges,
    text_of,
)
from contract.tuning_parts import (
    COMPLETION,
    RESOURCES,
    Completion,
    EarlyStopping,
    Hyperband,
    Objective,
    WarmStart,
    read_completion,
    read_hyperband,
    read_number,
    read_objective,
    read_warm_start,
    read_whole,
    read_word,
)

TUNING_KEY = "kennel_tuning"  # the hyperparameter whose value is a TuningSpec as compact JSON
FIND_LR_KEY = "kennel_find_lr"  # "true" makes a job a run of the learning rate finder
STORAGE_VARIABLE = "KENNEL_STUDY_STORAGE"  # environment: URL of a database that hosts share

Strategy = Literal["Bayesian", "Random", "Grid", "Hyperband"]

# Source: SageMaker API reference, CreateHyperParameterTuningJob; developer guide, limits of
# automatic model tuning.
NAME_PATTERN = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}")
MOST_NAME_CHARACTERS = 32
STRATEGIES: tuple[Strategy, ...] = ("Bayesian", "Random", "Grid", "Hyperband")
MOST_JOBS: Mapping[str, int] = {"Bayesian": 750, "Random": 10_000, "Grid": 750, "Hyperband": 750}
MOST_PARALLEL = 100
RUNTIME_SECONDS = (120, 15_768_000)
FEWEST_NOT_IMPROVING = 3
MOST_HYPERPARAMETERS = 99  # of 100; SageMaker adds _tuning_objective_metric
MOST_CHARACTERS = 2500  # of one hyperparameter's value
OBJECTIVE_NAME = "objective"  # of a trial: the metric by which its best epoch is chosen
BUDGETS = ("max_jobs", "max_parallel_jobs", "max_runtime_seconds")
PARTS = ("objective", "goal", *COMPLETION, *RESOURCES, "warm_start", "ranges", "static")


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningSpec:
    """One tuning job. Reference: docs/tuning.md. `from_json` makes one from plain data."""

    name: str
    strategy: Strategy = "Bayesian"
    objective: Objective
    ranges: Mapping[str, Range]  # by our names
    static: Mapping[str, str] = field(default_factory=dict)  # the other hyperparameters given
    max_jobs: int | None = None  # None with Grid only: every combination
    max_parallel_jobs: int = 1
    max_runtime_seconds: int | None = None
    early_stopping: EarlyStopping = "Off"
    completion: Completion = field(default_factory=Completion)
    hyperband: Hyperband | None = None  # set with strategy Hyperband
    warm_start: WarmStart | None = None
    seed: int = 0
    price_per_hour: float | None = None  # US dollars for one instance; for the page's costs

    def __post_init__(self) -> None:
        self.check()

    @property
    def num_combinations(self) -> int | None:
        """Different settings there are; None when a range is continuous."""
        counts = [num_values(one) for one in self.ranges.values()]
        return None if None in counts else math.prod(count or 0 for count in counts)

    @property
    def num_jobs(self) -> int:
        """Trials that the study has when nothing ends it earlier."""
        return self.max_jobs if self.max_jobs is not None else self.num_combinations or 1

    @property
    def stops_trials(self) -> bool:
        """Whether trials can be stopped early: asked for, and there is something to judge by."""
        asked = self.strategy == "Hyperband" or self.early_stopping == "Auto"
        return asked and self.objective.every_epoch

    def check(self) -> None:
        """Raises SpecError or HyperparameterError: a limit of SageMaker's, or a contradiction."""
        if not NAME_PATTERN.fullmatch(self.name) or len(self.name) > MOST_NAME_CHARACTERS:
            raise SpecError(
                "name: expected at most 32 letters, digits and single hyphens, as SageMaker has "
                f"it for tuning jobs, got {self.name!r}"
            )
        if not self.ranges:
            raise SpecError("ranges: expected at least one hyperparameter to search")
        if self.strategy == "Grid":
            _check_grid(self)
        elif self.max_jobs is None:
            raise SpecError(f"tuning.max_jobs: strategy {self.strategy} needs a number of trials")
        _check_numbers(self)
        parsed = _check_static(self)
        if self.strategy == "Hyperband":
            _check_hyperband(self, parsed.values.epochs)

    def identity(self) -> dict[str, Any]:
        """What makes two descriptions the same study: all but name, budgets and completion."""
        left_out = {"name", "price_per_hour", *BUDGETS, *COMPLETION}
        return {name: value for name, value in self.to_json().items() if name not in left_out}

    def fingerprint(self) -> str:
        """16 hex digits of `identity`."""
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` is its inverse."""
        given: dict[str, Any] = {
            "name": self.name,
            "strategy": self.strategy,
            "objective": self.objective.metric,
            "goal": self.objective.goal,
            **{budget: getattr(self, budget) for budget in BUDGETS},
            "early_stopping": self.early_stopping,
            "target_objective": self.completion.target_objective,
            "not_improving": self.completion.not_improving,
            "on_convergence": self.completion.on_convergence or None,
            "seed": self.seed,
            "price_per_hour": self.price_per_hour,
            "ranges": {name: range_to_json(name, one) for name, one in self.ranges.items()},
            "static": dict(self.static) or None,
        }
        if self.hyperband:
            given |= {name: getattr(self.hyperband, name) for name in RESOURCES}
        if self.warm_start:
            parents = list(self.warm_start.parents)
            given["warm_start"] = {"parents": parents, "type": self.warm_start.type}
        return {name: value for name, value in given.items() if value is not None}

    @classmethod
    def from_json(cls, data: Any) -> "TuningSpec":
        """Read plain data: names resolved, values typed, defaults filled in, all of it checked.

        Raises SpecError or HyperparameterError.
        """
        if not isinstance(data, Mapping):
            raise SpecError(f"tuning: expected a table, got {data!r}")
        known = ("name", "strategy", *BUDGETS, "early_stopping", "seed", "price_per_hour", *PARTS)
        only_known("tuning", data, known)
        name, ranges = data.get("name"), data.get("ranges", {})
        if not isinstance(name, str) or not isinstance(ranges, Mapping):
            raise SpecError(f"tuning: expected a name and a table of ranges, got {name!r}")
        word = read_word(data, "strategy", STRATEGIES, "Bayesian")
        strategy: Strategy = next(item for item in STRATEGIES if item == word)
        static = {key: text_of(value) for key, value in dict(data.get("static", {})).items()}
        objective, searched = read_objective(data), read_ranges(ranges)
        if OBJECTIVE_NAME not in searched:
            static = _with_objective(static, objective.metric)
        return cls(
            name=name,
            strategy=strategy,
            objective=objective,
            ranges=searched,
            static=static,
            max_jobs=read_whole(data, "max_jobs"),
            max_parallel_jobs=_or(read_whole(data, "max_parallel_jobs"), 1),
            max_runtime_seconds=read_whole(data, "max_runtime_seconds"),
            early_stopping=(
                "Auto"
                if read_word(data, "early_stopping", ("Off", "Auto"), "Off") == "Auto"
                else "Off"
            ),
            completion=read_completion(data),
            hyperband=read_hyperband({**data, "strategy": strategy}, _epochs(static)),
            warm_start=read_warm_start(data),
            seed=_or(read_whole(data, "seed"), 0),
            price_per_hour=read_number(data, "price_per_hour"),
        )

    def to_hyperparameter(self) -> str:
        """The value of `kennel_tuning`, without `static`: those are the job's hyperparameters.

        Raises SpecError: longer than a hyperparameter may be.
        """
        data = {name: value for name, value in self.to_json().items() if name != "static"}
        text = json.dumps(data, separators=(",", ":"))
        if len(text) > MOST_CHARACTERS:
            raise SpecError(
                f"the tuning description has {len(text):,} characters and a hyperparameter may "
                f"have {MOST_CHARACTERS:,}: search fewer ranges or values, or let SageMaker tune"
            )
        return text

    @classmethod
    def from_hyperparameter(cls, text: str, static: Mapping[str, str]) -> "TuningSpec":
        """Read the value of `kennel_tuning`; `static` is what else the job was given.

        Raises SpecError or HyperparameterError.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise SpecError(f"{TUNING_KEY} is not JSON: {error}") from error
        if not isinstance(data, dict):
            raise SpecError(f"{TUNING_KEY}: expected a JSON object, got {type(data).__name__}")
        return cls.from_json({**data, "static": dict(static)})


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _epochs(static: Mapping[str, str]) -> int:
    return parse_hyperparameters(static).values.epochs


def _with_objective(static: dict[str, str], metric: str) -> dict[str, str]:
    """A trial is judged by its best epoch: that of the study's objective, unless told otherwise."""
    setting = BY_NAME[OBJECTIVE_NAME]
    is_given = OBJECTIVE_NAME in parse_hyperparameters(static).given
    if is_given or metric == setting.default or metric not in setting.choices:
        return static
    return {**static, OBJECTIVE_NAME: metric}


def _check_grid(spec: TuningSpec) -> None:
    numeric = [name for name, one in spec.ranges.items() if not isinstance(one, CategoricalRange)]
    if numeric:
        raise SpecError(
            f"ranges.{numeric[0]}: strategy Grid tries listed values only; give a list of them"
        )
    if spec.max_jobs not in (None, spec.num_combinations):
        raise SpecError(
            f"tuning.max_jobs: this grid has {spec.num_combinations} combinations and all are "
            f"tried: leave max_jobs out, got {spec.max_jobs}"
        )


def _check_hyperband(spec: TuningSpec, epochs: int) -> None:
    band = spec.hyperband
    if band is None or not 1 <= band.min_resource <= band.max_resource:
        raise SpecError(f"tuning.min_resource: expected 1 <= min_resource <= max_resource: {band}")
    if spec.early_stopping != "Off":
        raise SpecError("tuning.early_stopping: Hyperband stops trials itself; expected Off")
    if not spec.objective.every_epoch:
        raise SpecError(
            f"tuning.objective: {spec.objective.metric} comes once, at the end, and Hyperband "
            "judges trials while they learn: take validation:loss or validation:accuracy"
        )
    if "epochs" in spec.ranges:
        raise SpecError("ranges.epochs: Hyperband chooses the number of epochs; set epochs itself")
    if band.max_resource > epochs:
        raise SpecError(
            f"tuning.max_resource: a resource is an epoch and the job has {epochs}; "
            f"got {band.max_resource}"
        )


def _check_numbers(spec: TuningSpec) -> None:
    low, high = RUNTIME_SECONDS
    bounds = (
        ("max_jobs", spec.num_jobs, 1, MOST_JOBS[spec.strategy]),
        ("max_parallel_jobs", spec.max_parallel_jobs, 1, MOST_PARALLEL),
        ("max_runtime_seconds", _or(spec.max_runtime_seconds, low), low, high),
        ("not_improving", _or(spec.completion.not_improving, 3), FEWEST_NOT_IMPROVING, None),
        ("seed", spec.seed, 0, 2**31 - 1),
        ("price_per_hour", spec.price_per_hour or 0.0, 0, None),
    )
    for name, value, least, most in bounds:
        if value < least or (most is not None and value > most):
            upper = "" if most is None else f" and <= {most}"
            raise SpecError(f"tuning.{name}: expected >= {least}{upper}, got {value}")


def _check_static(spec: TuningSpec) -> ParsedHyperparameters:
    parsed = parse_hyperparameters(spec.static)
    if both := sorted(parsed.given & spec.ranges.keys()):
        raise HyperparameterError(
            both[0], spec.static.get(both[0], ""), "either a range or one value, not both"
        )
    if len(spec.static) + len(spec.ranges) > MOST_HYPERPARAMETERS:
        raise SpecError(f"more than {MOST_HYPERPARAMETERS} hyperparameters in all")
    return parsed
