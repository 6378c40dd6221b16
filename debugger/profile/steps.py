"""Steps of a process: when each begins and ends, and what its time goes to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from debugger.profile import phases, summary
from debugger.profile.data import FloatArray
from debugger.profile.intervals import contains, join, union
from debugger.profile.phases import Phases, mode_of
from debugger.profile.timeline_files import host_of

# What a step is made of. Before a step stands what it waits for, behind it what follows from it,
# where whoever recorded it took the forward pass alone for the step, as smdebug's hook does.
_PARTS = {
    summary.WAIT: (phases.DATA_WAIT, "before"),
    summary.COPY: (phases.COPY, "before"),
    summary.FORWARD: (phases.FORWARD, "inside"),
    summary.BACKWARD: (phases.BACKWARD, "behind"),
    summary.OPTIMIZER: (phases.OPTIMIZER, "behind"),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Steps:
    """N steps of one process in one mode, in their order."""

    node: str
    mode: str
    starts: FloatArray  # (N,) from where it waits for its batch
    seconds: FloatArray  # (N,) to the end of its update
    numbers: NDArray[np.int64]  # (N,) -1 unknown
    parts: Mapping[str, FloatArray]  # summary.PARTS_OF_STEP -> (N,) seconds; sum to `seconds`
    # (N,) which steps have parts of their own. Our training records those of one in ten where steps
    # are shorter than 5 milliseconds; the others have the shares of these.
    is_measured: NDArray[np.bool_]

    @property
    def host(self) -> str:
        """Where the process runs."""
        return host_of(self.node)

    @property
    def ends(self) -> FloatArray:
        """(N,) Unix seconds."""
        return self.starts + self.seconds

    @property
    def own(self) -> FloatArray:
        """(N,) seconds of summary.OWN_PARTS; all of the step where its parts are not known."""
        known = [self.parts[name] for name in summary.OWN_PARTS if name in self.parts]
        return np.sum(known, axis=0) if known else self.seconds

    def __len__(self) -> int:
        return len(self.starts)

    def total(self, *names: str) -> float:
        """Seconds of these parts in all steps; of the steps themselves without a name."""
        if not names:
            return float(self.seconds.sum())
        return float(sum(self.parts[name].sum() for name in names if name in self.parts))


def read_steps(index: Phases) -> Iterator[Steps]:
    """Those of every process and mode that has any."""
    for node in index.nodes:
        for phase in index.step_phases:
            places = index.places(phase, node)
            if len(places):
                yield _steps(index, node, phase)


def _steps(index: Phases, node: str, phase: str) -> Steps:
    starts, ends = index.spans(phase, node)
    first, last = starts.copy(), ends.copy()
    others = (*index.step_phases, phases.EVALUATE)
    taken = join(*(union(*index.spans(name, node)) for name in others))
    parts: dict[str, FloatArray] = {}
    measured = np.zeros(len(starts), dtype=bool)
    for name, (part, where) in _PARTS.items():
        begins, finishes = index.spans(part, node)
        owners = _inside(starts, ends, begins)
        if where != "inside":
            beside = _beside(starts, ends, begins, finishes, is_before=where == "before")
            owners = np.where(contains(taken, begins), owners, beside)
        ours = owners >= 0
        if not ours.any():
            continue
        owners, begins, finishes = owners[ours], begins[ours], finishes[ours]
        parts[name] = np.bincount(owners, finishes - begins, len(starts)).astype(np.float64)
        measured[owners] = True
        np.minimum.at(first, owners, begins)
        np.maximum.at(last, owners, finishes)
    seconds = last - first
    if not _is_sparse(index, node):
        measured[:] = bool(parts)
    return Steps(
        node=node,
        mode=mode_of(phase),
        starts=first,
        seconds=seconds,
        numbers=index.events.steps[index.places(phase, node)],
        parts=_with_rest(parts, seconds, measured) if parts else {},
        is_measured=measured,
    )


def _is_sparse(index: Phases, node: str) -> bool:
    """True when the process says that it did not record the parts of every step."""
    places = index.places(phases.FORWARD, node)
    return bool(len(places)) and "one_in" in index.events.arguments[int(places[-1])]


def _inside(starts: FloatArray, ends: FloatArray, begins: FloatArray) -> NDArray[np.intp]:
    """Which step each span begins in; -1 none."""
    previous = np.searchsorted(starts, begins, side="right") - 1
    return np.where((previous >= 0) & (begins < ends[np.maximum(previous, 0)]), previous, -1)


def _beside(
    starts: FloatArray,
    ends: FloatArray,
    begins: FloatArray,
    finishes: FloatArray,
    *,
    is_before: bool,
) -> NDArray[np.intp]:
    """Which step each span, that lies in none, comes right before, or right behind; -1 none."""
    reach = float(np.median(ends - starts))  # what lies further off has another reason
    previous = np.searchsorted(starts, begins, side="right") - 1
    following = np.minimum(previous + 1, len(starts) - 1)
    if is_before:
        gap = starts[following] - finishes
        fits = (previous + 1 < len(starts)) & (gap > -1e-6) & (gap <= reach)
        return np.where(fits, following, -1)
    is_next = (previous == len(starts) - 1) | (finishes <= starts[following] + 1e-6)
    gap = begins - ends[np.maximum(previous, 0)]
    return np.where((previous >= 0) & is_next & (gap <= reach), previous, -1)


def _with_rest(
    parts: dict[str, FloatArray], seconds: FloatArray, measured: NDArray[np.bool_]
) -> dict[str, FloatArray]:
    """Parts that overlapped (several loaders at once) are shortened, so that all fit in."""
    known = np.sum(list(parts.values()), axis=0)
    fitting = np.minimum(1.0, seconds / np.maximum(known, 1e-12))
    rest = np.maximum(seconds - known, 0.0)
    whole = {**{name: part * fitting for name, part in parts.items()}, summary.REST: rest}
    total = float(seconds[measured].sum())
    if measured.all() or not total:
        return whole
    return {
        name: np.where(measured, part, seconds * (part[measured].sum() / total))
        for name, part in whole.items()
    }
