"""SavedTensors: what a job saved, step by step. All rules share one, so each value is read once."""

import logging
import re
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import HostError, SpecError
from debugger import tensors
from debugger.tensors import Trial

log = logging.getLogger(__name__)

Values = NDArray[Any]
CACHE_BYTES = 512 * 2**20  # three steps of a ResNet-50's weights
GRADIENT = "gradient/"


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """A saved step."""

    step: int  # the global one, which counts all modes
    mode: str  # TRAIN, EVAL, PREDICT, GLOBAL
    mode_step: int


def _norm(order: int) -> Callable[[Values], float]:
    return lambda values: float(np.linalg.norm(values.reshape(-1), ord=order))


# Like smdebug's, from values of which only the values were saved. Its variance and std of torch
# tensors divide by n - 1, these by n.
REDUCERS: dict[str, Callable[[Values], float]] = {
    "min": lambda values: float(values.min()),
    "max": lambda values: float(values.max()),
    "mean": lambda values: float(values.mean(dtype=np.float64)),
    "std": lambda values: float(values.std(dtype=np.float64)),
    "variance": lambda values: float(values.var(dtype=np.float64)),
    "sum": lambda values: float(values.sum(dtype=np.float64)),
    "prod": lambda values: float(values.prod(dtype=np.float64)),
    "l1": _norm(1),
    "l2": _norm(2),
}


def reduce(values: Values, reduction: str) -> float:
    """`mean`, `abs_mean`, ... of an array."""
    plain = reduction.removeprefix("abs_")
    return REDUCERS[plain](np.abs(values) if plain != reduction else values)


class SavedTensors:
    """Saved tensors by global step, name and worker."""

    def __init__(self, trial: Trial, cache_bytes: int = CACHE_BYTES) -> None:
        self.trial = trial
        self.steps: list[int] = []  # complete ones, ascending
        self.num_unreadable = 0
        self._known: set[int] = set()
        self._moments: dict[int, Moment] = {}
        # Most steps have the same tensors as another: each set of names is kept once.
        self._sets: dict[tuple[str, ...], tuple[tuple[str, ...], frozenset[str]]] = {}
        self._names: dict[int, tuple[str, ...]] = {}
        self._selected: dict[tuple[tuple[str, ...], ...], list[str]] = {}
        self._all_names: set[str] = set()
        self._has_gradients = False
        self._by_mode: dict[tuple[str, int], int] = {}
        self._cache: OrderedDict[tuple[str, int, str], Values | None] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._cached_bytes = 0
        self._take_in()

    def refresh(self) -> list[int]:
        """Look for steps that were written meanwhile; returns the new ones."""
        tensors.refresh(self.trial)
        return self._take_in()

    def end(self) -> list[int]:
        """The job has ended: whatever is there is complete. Returns the new steps."""
        tensors.end(self.trial)
        return self._take_in()

    def has(self, step: int) -> bool:
        """Whether a global step is there, complete."""
        return step in self._known

    def before(self, step: int) -> list[int]:
        """Saved global steps before one."""
        return self.steps[: bisect_left(self.steps, step)]

    def between(self, after: int, until: int) -> list[int]:
        """Saved global steps after one, up to another and including it."""
        return self.steps[bisect_right(self.steps, after) : bisect_right(self.steps, until)]

    def moment(self, step: int) -> Moment:
        """Mode and mode step of a global step."""
        if step not in self._moments:
            self._moments[step] = Moment(step, *tensors.place_of(self.trial, step))
        return self._moments[step]

    def global_step(self, mode: str, mode_step: int) -> int | None:
        """The other way round."""
        return self._by_mode.get((mode, mode_step))

    def names(self, step: int) -> tuple[str, ...]:
        """What was saved at a step."""
        if step not in self._names:
            names = tuple(self.trial.tensor_names(step=step))
            self._names[step], _ = self._sets.setdefault(names, (names, frozenset(names)))
        return self._names[step]

    def has_name(self, name: str, step: int) -> bool:
        """Whether a tensor was saved at a step."""
        return name in self._sets[self.names(step)][1]

    @property
    def all_names(self) -> frozenset[str]:
        """What was saved at any step so far."""
        return frozenset(self._all_names)

    @property
    def collections(self) -> tuple[str, ...]:
        """Names of the collections that the job described."""
        return tuple(sorted(self.trial.collections()))

    def workers(self) -> tuple[str, ...]:
        """worker_0, ..."""
        return tuple(sorted(self.trial.worker_set))

    def is_in(self, name: str, collection: str) -> bool:
        """Whether a tensor belongs to a collection; False for one that nobody described."""
        known = self.trial.collections().get(collection)
        if known is None:
            return False
        return name in known.tensor_names or matches(name, known.include_regex)

    def select(
        self, step: int, collections: Iterable[str] = (), regexes: Iterable[str] = ()
    ) -> list[str]:
        """The tensors of a step that are in one of the collections or match a regex."""
        key = (self.names(step), tuple(collections), tuple(regexes))
        if key not in self._selected:
            self._selected[key] = [
                name
                for name in key[0]
                if matches(name, key[2]) or any(self.is_in(name, one) for one in key[1])
            ]
        return self._selected[key]

    def is_frozen(self, name: str) -> bool | None:
        """Whether a parameter has no gradient; None: the job saved no gradients at all."""
        if not self._has_gradients:
            return None
        return f"{GRADIENT}{name}" not in self._all_names

    def has_value(self, name: str, step: int) -> bool:
        """Whether all of its values were saved, not only reductions of them."""
        return any(one.has_value for one in tensors.stored(self.trial, name, step).values())

    def value(self, name: str, step: int) -> Values | None:
        """Of the first worker that saved it; None: only reductions were saved, or it is damaged."""
        return next((values for _, values in self.arrays(name, step)), None)

    def arrays(self, name: str, step: int) -> Iterator[tuple[str, Values]]:
        """The value at each worker, with a label: the name, and the worker where several wrote."""
        by_worker = tensors.stored(self.trial, name, step)
        for worker, kept in by_worker.items():
            values = self._read(name, step, worker) if kept.has_value else None
            if values is not None:
                yield _label(name, worker, len(by_worker)), values

    def reduced(
        self, name: str, step: int, wanted: Sequence[str]
    ) -> Iterator[tuple[str, dict[str, float]]]:
        """Reductions at each worker, as saved or else computed; those that are neither are left
        out of the dict, and it may be empty."""
        by_worker = tensors.stored(self.trial, name, step)
        for worker, kept in by_worker.items():
            found = {
                one: value
                for one in wanted
                if one in kept.reductions
                and (value := self._read_reduction(name, step, worker, one)) is not None
            }
            rest = [one for one in wanted if one not in found] if kept.has_value else []
            values = self._read(name, step, worker) if rest else None
            if values is not None and values.size and values.dtype.kind in "fiub":
                found |= {one: reduce(values, one) for one in rest}
            yield _label(name, worker, len(by_worker)), found

    def scalar(self, name: str, step: int) -> float | None:
        """A single number, the mean over workers; None where it is none."""
        numbers = [
            float(values.reshape(-1)[0])
            for _, values in self.arrays(name, step)
            if values.size == 1 and values.dtype.kind in "fiub"
        ]
        return sum(numbers) / len(numbers) if numbers else None

    def _read(self, name: str, step: int, worker: str) -> Values | None:
        key = (name, step, worker)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        try:
            values: Values | None = tensors.fetch(self.trial, name, step, worker)
        except HostError as error:
            self._complain(error)
            values = None
        self._keep(key, values)
        return values

    def _read_reduction(self, name: str, step: int, worker: str, reduction: str) -> float | None:
        try:
            return tensors.fetch_reduction(self.trial, name, step, worker, reduction)
        except HostError as error:
            self._complain(error)
            return None

    def _complain(self, error: HostError) -> None:
        self.num_unreadable += 1
        log.warning("%s", error)

    def _keep(self, key: tuple[str, int, str], values: Values | None) -> None:
        self._cache[key] = values
        self._cached_bytes += 0 if values is None else values.nbytes
        while self._cached_bytes > self._cache_bytes and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            self._cached_bytes -= 0 if oldest is None else oldest.nbytes

    def _take_in(self) -> list[int]:
        new = [step for step in self.trial.steps() if step not in self._known]
        self._known.update(new)
        self.steps = sorted([*self.steps, *new])
        for step in new:
            moment = self.moment(step)
            self._by_mode[moment.mode, moment.mode_step] = step
            self._all_names.update(self.names(step))
        self._has_gradients = any(name.startswith(GRADIENT) for name in self._all_names)
        return new


def matches(name: str, regexes: Iterable[str]) -> bool:
    """Whether one of the regular expressions is found in a name."""
    return any(re.search(one, name) for one in regexes)


def check_regex(what: str, text: str) -> None:
    """Raises SpecError for what is no regular expression, or none of several between commas."""
    for one in text.split(","):
        try:
            re.compile(one.strip())
        except re.error as error:
            raise SpecError(f"{what}: {one.strip()!r} is no regular expression: {error}") from None


def _label(name: str, worker: str, num_workers: int) -> str:
    return name if num_workers == 1 else f"{name} of {worker}"
