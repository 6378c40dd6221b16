"""Sampler: which hyperparameters a study tries next, and when a trial is not worth its end.

Every trial's draw is a function of the study's seed, the trial's number and the results so far,
and of nothing that a process remembers: a study that was interrupted goes on as it would have.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial
from typing_extensions import override

from contract.ranges import CategoricalRange, ContinuousRange, Range, text_of
from contract.setting import Value
from contract.tuning import TuningSpec

WARM = "warm"  # attribute of trials that came from a parent: its name
_FEWEST_JUDGES = 5  # completed trials that the median is taken of


class SeededSampler(BaseSampler):
    """Asks optuna's sampler of the strategy, made anew for each trial."""

    def __init__(self, spec: TuningSpec) -> None:
        self._spec = spec
        self._space = {
            name: one for name, one in distributions(spec.ranges).items() if not one.single()
        }

    @override
    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._space

    @override
    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        index = index_of(study, trial)
        if self._spec.strategy == "Grid":
            return grid_cell(search_space, index)
        seed = int(np.random.SeedSequence([self._spec.seed, index]).generate_state(1)[0])
        inner = self._strategy(seed)
        found = inner.sample_relative(study, trial, search_space)
        return {
            name: found[name]
            if name in found
            else inner.sample_independent(study, trial, name, distribution)
            for name, distribution in search_space.items()
        }

    @override
    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        raise AssertionError(f"{param_name} is sampled with the others")

    def _strategy(self, seed: int) -> BaseSampler:
        """Hyperband draws at random, as its paper does (Li et al., 2018)."""
        if self._spec.strategy != "Bayesian":
            return RandomSampler(seed=seed)
        return TPESampler(
            seed=seed,
            multivariate=True,
            constant_liar=self._spec.max_parallel_jobs > 1,
            n_startup_trials=min(10, max(3, self._spec.num_jobs // 3)),
        )


def index_of(study: Study, trial: FrozenTrial) -> int:
    """How many trials of the study's own came before this one."""
    # The storage is asked: Hyperband's samplers are handed a study of one bracket's trials only.
    every = study._storage.get_all_trials(study._study_id, deepcopy=False)
    return sum(WARM not in one.user_attrs and one.number < trial.number for one in every)


def grid_cell(space: Mapping[str, BaseDistribution], index: int) -> dict[str, Any]:
    """The combination of this index; the last range changes fastest."""
    cell: dict[str, Any] = {}
    for name in reversed(list(space)):
        distribution = space[name]
        assert isinstance(distribution, CategoricalDistribution)
        index, place = divmod(index, len(distribution.choices))
        cell[name] = distribution.choices[place]
    return cell


def pruner_of(spec: TuningSpec) -> BasePruner:
    """What decides, after an epoch, whether a trial goes on."""
    if spec.hyperband is not None:
        band = spec.hyperband
        return HyperbandPruner(min_resource=band.min_resource, max_resource=band.max_resource)
    if spec.stops_trials:
        return MedianPruner(n_startup_trials=_FEWEST_JUDGES, n_min_trials=_FEWEST_JUDGES)
    return NopPruner()


def distributions(ranges: Mapping[str, Range]) -> dict[str, BaseDistribution]:
    """optuna's words for the ranges, by the names that `parameter_of` gives."""
    return {parameter_of(name, one): _distribution(one) for name, one in ranges.items()}


def parameter_of(name: str, one: Range) -> str:
    """What optuna calls a hyperparameter: where the scale is reversed, 1 - it is searched."""
    return f"1-{name}" if _is_reversed(one) else name


def to_value(one: Range, drawn: Any) -> Value:
    """The hyperparameter that stands for what optuna has drawn."""
    if isinstance(one, CategoricalRange):
        return next(value for value in one.values if text_of(value) == drawn)
    if isinstance(one, ContinuousRange):
        number = 1.0 - float(drawn) if _is_reversed(one) else float(drawn)
        return min(max(number, one.minimum), one.maximum)
    return int(drawn)


def from_value(one: Range, value: Value) -> Any:
    """The inverse of `to_value`; None for a value outside of the range."""
    if isinstance(one, CategoricalRange):
        text = text_of(value)
        return text if text in map(text_of, one.values) else None
    if isinstance(value, str | bool) or not one.minimum <= value <= one.maximum:
        return None
    return 1.0 - value if _is_reversed(one) else value


def _distribution(one: Range) -> BaseDistribution:
    if isinstance(one, CategoricalRange):
        return CategoricalDistribution([text_of(value) for value in one.values])
    is_log = one.scaling == "Logarithmic"
    if not isinstance(one, ContinuousRange):
        return IntDistribution(one.minimum, one.maximum, log=is_log)
    if not _is_reversed(one):
        return FloatDistribution(one.minimum, one.maximum, log=is_log)
    # The bounds' own rounding must not leave them outside.
    low, high = 1.0 - one.maximum, 1.0 - one.minimum
    return FloatDistribution(math.nextafter(low, 0.0), high, log=True)


def _is_reversed(one: Range) -> bool:
    return isinstance(one, ContinuousRange) and one.scaling == "ReverseLogarithmic"
