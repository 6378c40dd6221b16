"""What AWS adds to a bottleneck or an outlier: which operators and phases ran then."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debugger.profile.aws.windows import to_micros
from debugger.profile.data import Events
from debugger.profile.numbers import shares
from debugger.profile.phases import BACKWARD_PARTS, FORWARD_PARTS

_LEAST_SHARE = 0.02  # operators below it are not shown

Totals = dict[str, float]  # microseconds by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregates:
    """Microseconds by phase and operator; grows."""

    cpu: dict[str, Totals] = field(default_factory=dict)  # phase -> operator
    gpu: dict[str, Totals] = field(default_factory=dict)
    step: Totals = field(default_factory=dict)
    forward: Totals = field(default_factory=dict)
    backward: Totals = field(default_factory=dict)
    general: Totals = field(default_factory=dict)
    horovod: Totals = field(default_factory=dict)

    def add(self, events: Events, weights: NDArray[np.int64]) -> None:
        """Each event counts as often as its weight says."""
        places = np.flatnonzero(weights)
        amounts = to_micros(events.seconds[places]) * weights[places]
        sums: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        for place, amount in zip(places.tolist(), amounts.tolist(), strict=True):
            source = str(events.arguments[place].get("source", ""))
            sums[events.phases[place], events.names[place], source] += amount
        for (phase, name, source), amount in sums.items():
            self._add_one(phase, name, source, amount)

    def _add_one(self, phase: str, name: str, source: str, amount: float) -> None:
        bucket = bucket_of(phase, source)
        if bucket in ("cpu", "gpu"):
            operators = (self.cpu if bucket == "cpu" else self.gpu).setdefault(phase, {})
            operators[name] = operators.get(name, 0) + amount
        else:
            totals: Totals = getattr(self, bucket)
            key = {"step": phase, "general": phase}.get(bucket, name)
            totals[key] = totals.get(key, 0) + amount

    def details(self, *, swapped: bool) -> dict[str, Any]:
        """AWS's fields. `swapped`: its labels stand cpu first and its totals gpu first."""
        cpu = {phase: sum(found.values()) for phase, found in self.cpu.items()}
        gpu = {phase: sum(found.values()) for phase, found in self.gpu.items()}
        totals = [*gpu.values(), *cpu.values()] if swapped else [*cpu.values(), *gpu.values()]
        found: dict[str, Any] = {"ratio": shares(dict(zip([*cpu, *gpu], totals, strict=True)))}
        for name, phases in (("CPU", self.cpu), ("GPU", self.gpu)):
            if phases:
                found[name], found[f"{name}_total"] = _operators(phases)
        found["phase"] = shares(self.step)
        found["phase_time"] = {}  # always empty in AWS's reports
        if self.general:
            found["general"] = shares(self.general)
        if self.forward and self.backward:
            passes = {
                "Forward pass": sum(self.forward.values()),
                "Backward pass": sum(self.backward.values()),
            }
            found["forward_backward"] = shares(passes)
        if self.horovod:
            found["horovod"] = shares(_large(self.horovod))
        return found


def bucket_of(phase: str, source: str = "") -> str:
    """Where AWS counts a phase."""
    lower = phase.lower()
    if "cpu" in lower or "gpu" in lower:
        return "cpu" if "cpu" in lower else "gpu"
    if "Step" in phase:
        return "step"
    named = {FORWARD_PARTS: "forward", BACKWARD_PARTS: "backward"}
    return named.get(phase) or ("horovod" if source == "horovod" else "general")


def _operators(phases: dict[str, Totals]) -> tuple[Totals, Totals]:
    """Shares of the large ones among themselves, and their microseconds."""
    totals: Totals = {}
    for operators in phases.values():
        for name, amount in operators.items():
            totals[name] = totals.get(name, 0) + amount
    large = _large(totals)
    return shares(large), large


def _large(totals: Totals) -> Totals:
    whole = sum(totals.values())
    return {name: one for name, one in totals.items() if whole and one / whole > _LEAST_SHARE}
