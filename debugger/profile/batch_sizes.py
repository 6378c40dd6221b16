"""How many pictures a step has, and what a picture costs in a small and in a large batch."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from debugger.profile import summary
from debugger.profile.data import FloatArray
from debugger.profile.facts import Facts
from debugger.profile.phases import EPOCH, EVAL
from debugger.profile.steps import Steps

_LEAST_STEPS = 3  # of each kind, to compare them
_LARGER = 1.5  # times: batches that are worth comparing
_LEARNING = 1.25  # times: what a forward pass costs that is to be followed by a backward one


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureCost:
    """The same forward pass in batches of two sizes, as this job ran them."""

    batch: int  # pictures of a training step in this process
    seconds: float  # of a forward pass for one picture in it
    larger_batch: int  # of an evaluation step
    larger_seconds: float

    @property
    def ratio(self) -> float:
        """How many times dearer a picture is in the small batch, for no other reason."""
        return self.seconds / (_LEARNING * self.larger_seconds) if self.larger_seconds > 0 else 1.0


def batch_size_of(facts: Facts) -> int | None:
    """Of the whole job's steps, as its timeline says; None when it does not."""
    places = facts.index.places(EPOCH)
    if not len(places):
        return None
    known = facts.profile.events.arguments[int(places[-1])].get("batch_size")
    return known if isinstance(known, int) else None


def pictures_of(facts: Facts, steps: Steps) -> FloatArray | None:
    """(N,) pictures of each training step in this process; None when nothing tells."""
    places = facts.index.places(EPOCH, steps.node)
    events = facts.profile.events
    counts = np.zeros(len(steps))
    share = max(1, len(facts.training))
    for place in places.tolist():
        start, seconds = events.starts[place], events.seconds[place]
        told: Any = events.arguments[place]
        batch, pictures = told.get("batch_size"), told.get("num_images")
        if not isinstance(batch, int) or not isinstance(pictures, int) or batch < 1:
            return None
        ours = np.flatnonzero((steps.starts >= start - 1e-6) & (steps.starts < start + seconds))
        per_epoch = max(1, pictures // batch + (pictures % batch > 1))
        counts[ours] = batch / share
        # The last step of the epoch has what is left.
        if len(ours) == per_epoch:
            counts[ours[-1]] = (pictures - batch * (per_epoch - 1)) / share
    known = counts[counts > 0]
    if not len(known):
        return None
    return np.where(counts > 0, counts, np.median(known))  # an epoch that was cut off has no facts


def picture_cost(facts: Facts, steps: Steps) -> PictureCost | None:
    """Of one process whose evaluations have larger batches than its training; None: it has not.

    The fastest ones are compared: loader workers and other programs slow down training only.
    """
    counts, forward = pictures_of(facts, steps), steps.parts.get(summary.FORWARD)
    evaluated = [one for one in facts.steps if one.node == steps.node and one.mode == EVAL]
    if counts is None or forward is None or not evaluated:
        return None
    places = facts.index.places(f"Step:ModeKeys.{EVAL}", steps.node)
    told = [facts.profile.events.arguments[place].get("num_images") for place in places.tolist()]
    sizes = np.array([one if isinstance(one, int) else 0 for one in told], dtype=float)
    largest = float(sizes.max(initial=0))
    usual = float(np.median(counts))
    whole = sizes == largest
    ours = (counts == usual) & steps.is_measured
    if largest < _LARGER * usual or not whole.any() or ours.sum() < _LEAST_STEPS:
        return None
    return PictureCost(
        batch=round(usual),
        seconds=float(forward[ours].min()) / usual,
        larger_batch=int(largest),
        larger_seconds=float(evaluated[0].seconds[whole].min()) / largest,
    )
