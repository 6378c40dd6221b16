"""Phases of a timeline: their names in smdebug's words and ours, and where they stand."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from debugger.profile.data import Events, FloatArray

STEP_MARK = "Step:ModeKeys"  # followed by .TRAIN, .EVAL, ...
DATA_WAIT, LOADER_WORKER = "DataLoaderIter", "DataLoaderWorker"
LOADER_START = "DataLoaderIterInitialize"
COPY, FORWARD, BACKWARD, OPTIMIZER = "Copy", "Forward", "Backward(post-forward)", "Optimizer"
EVALUATE, CHECKPOINT, FEATURES, DECODE = "Evaluate", "Checkpoint", "FeaturePass", "Decode"
EPOCH = "Epoch"  # of our own training: holds all of the above
FORWARD_PARTS, BACKWARD_PARTS = "Forward-SubModuleInternal", "Backward-SubModuleInternal"
TRAIN, EVAL = "TRAIN", "EVAL"

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Where the events of each phase and process stand in `events`, ascending."""

    events: Events
    names: tuple[str, ...]  # of the phases that occur, in the order of their first event
    nodes: tuple[str, ...]  # processes, in their order
    _by_phase: dict[str, Places] = field(repr=False)
    _node_codes: NDArray[np.intp] = field(repr=False)  # (N,) place in `nodes`

    @classmethod
    def of(cls, events: Events) -> "Phases":
        """One pass over the events."""
        names, codes = _codes(events.phases)
        nodes, node_codes = _codes(events.nodes)
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes, minlength=len(names)))
        parts = np.split(order, ends[:-1]) if names else []
        return cls(
            events=events,
            names=names,
            nodes=tuple(nodes),
            _by_phase=dict(zip(names, parts, strict=True)),
            _node_codes=node_codes,
        )

    def places(self, phase: str, node: str | None = None) -> Places:
        """Of all events of a phase, or of those of one process."""
        found = self._by_phase.get(phase, np.empty(0, dtype=np.intp))
        if node is None:
            return found
        if node not in self.nodes:
            return found[:0]
        ours: Places = found[self._node_codes[found] == self.nodes.index(node)]
        return ours

    def spans(self, phase: str, node: str | None = None) -> tuple[FloatArray, FloatArray]:
        """(N,) starts and (N,) ends, Unix seconds."""
        places = self.places(phase, node)
        starts = self.events.starts[places]
        return starts, starts + self.events.seconds[places]

    @property
    def step_phases(self) -> tuple[str, ...]:
        """Those whose events are steps."""
        return tuple(name for name in self.names if name.startswith(STEP_MARK))


def mode_of(phase: str) -> str:
    """TRAIN of Step:ModeKeys.TRAIN."""
    return phase.removeprefix(STEP_MARK).removeprefix(".") or "GLOBAL"


def _codes(texts: Sequence[str] | NDArray[np.object_]) -> tuple[tuple[str, ...], Places]:
    """Distinct texts in the order in which they come, and the place of each among them."""
    known: dict[str, int] = {}
    codes = np.fromiter(
        (known.setdefault(text, len(known)) for text in texts), dtype=np.intp, count=len(texts)
    )
    return tuple(known), codes
