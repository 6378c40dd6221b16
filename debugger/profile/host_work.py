"""How long each host works for itself, where several train together and wait for the slowest."""

from dataclasses import dataclass

import numpy as np

from debugger.profile import summary
from debugger.profile.facts import Facts
from debugger.profile.phases import FEATURES
from debugger.profile.timeline_files import host_of

LEAST_SLOWER = 25.0  # percent above the fastest host from which on a host counts as slow
_LEAST_SHARE = 5.0  # percent of the job that the work must take to matter
LEAST_STEPS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class HostWork:
    """One kind of work on all hosts."""

    kind: str  # "training steps" or "feature pass"
    seconds: dict[str, float]  # by host: the mean step, or the whole pass; without waiting
    total_seconds: float  # of the slowest host, in all
    whole_seconds: float  # the mean step with its waiting, or the whole pass

    @property
    def slowest(self) -> str:
        """Its name."""
        return max(self.seconds, key=lambda host: self.seconds[host])

    @property
    def fastest(self) -> str:
        """Its name."""
        return min(self.seconds, key=lambda host: self.seconds[host])

    @property
    def slower_percent(self) -> float:
        """The slowest above the fastest."""
        least = self.seconds[self.fastest]
        return 100.0 * (self.seconds[self.slowest] / least - 1) if least > 0 else 0.0

    @property
    def gain_percent(self) -> float:
        """Of a step, or of the pass: what is saved if the slowest were like the others' mean."""
        others = [one for host, one in self.seconds.items() if host != self.slowest]
        saved = self.seconds[self.slowest] - float(np.mean(others))
        return 100.0 * saved / self.whole_seconds if self.whole_seconds > 0 else 0.0


def read_host_work(facts: Facts) -> tuple[HostWork, ...]:
    """Of jobs on several hosts; empty for others, and where nothing tells work from waiting."""
    found = [_steps(facts), _features(facts)]
    return tuple(one for one in found if one is not None and len(one.seconds) > 1)


def slow_host(facts: Facts) -> HostWork | None:
    """The kind of work in which a host is much slower, if it takes a part of the job that
    matters."""
    slow = [
        one
        for one in read_host_work(facts)
        if one.slower_percent >= LEAST_SLOWER
        and 100.0 * one.total_seconds >= _LEAST_SHARE * facts.profile.seconds
    ]
    return max(slow, key=lambda one: one.gain_percent * one.total_seconds, default=None)


def _steps(facts: Facts) -> HostWork | None:
    """A host's own part of training."""
    own: dict[str, list[float]] = {}
    total: dict[str, float] = {}
    for one in facts.training:
        if summary.FORWARD not in one.parts or len(one) < LEAST_STEPS:
            continue
        # A host that is held up now and then has a good median; the others wait all the same. The
        # first step prepares everything and is left out.
        work = one.own[1:]
        own.setdefault(one.host, []).append(float(work.mean()))
        total[one.host] = max(total.get(one.host, 0.0), float(work.sum()))
    seconds = {host: max(found) for host, found in own.items()}
    if not seconds:
        return None
    return HostWork(
        kind="training steps",
        seconds=seconds,
        total_seconds=max(total.values()),
        whole_seconds=max(float(one.seconds.mean()) for one in facts.training),
    )


def _features(facts: Facts) -> HostWork | None:
    seconds: dict[str, float] = {}
    for node in facts.index.nodes:
        starts, ends = facts.index.spans(FEATURES, node)
        if len(starts):
            host = host_of(node)
            seconds[host] = max(seconds.get(host, 0.0), float((ends - starts).sum()))
    if not seconds:
        return None
    longest = max(seconds.values())
    return HostWork(
        kind="feature pass", seconds=seconds, total_seconds=longest, whole_seconds=longest
    )
