"""Pace: our server at half of what it can do, and at twice as much."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.load import Outcome, closed_loop, even_arrivals, open_loop, poisson_arrivals
from benchmarks.rounds import Plan
from benchmarks.servers import Started


@dataclass(slots=True, kw_only=True)
class Paced:
    """Latencies in milliseconds, all passes together."""

    per_second: float  # of the half load
    single_ms: list[float] = field(default_factory=list)  # one client, closed loop
    poisson_ms: list[float] = field(default_factory=list)  # requests of independent clients
    even_ms: list[float] = field(default_factory=list)  # requests at equal distances
    statuses: Counter[int] = field(default_factory=Counter)

    def p99_over_single(self, latencies: Sequence[float]) -> float:
        """The ratio that has a bar."""
        return float(np.percentile(latencies, 99) / np.median(self.single_ms))


@dataclass(slots=True, kw_only=True)
class Overload:
    """Twice the sustainable load."""

    offered_per_second: float
    accepted_per_second: float
    p50_ms: float  # of accepted requests
    p99_ms: float
    share_503: float
    others: int  # answers that are neither 200 nor 503


def at_half_load(item: Started, pictures: Sequence[bytes], per_second: float, plan: Plan) -> Paced:
    """Single requests, Poisson arrivals, even arrivals, in turns."""
    requests = [item.server.request(picture) for picture in pictures]
    paced = Paced(per_second=per_second / 2)
    item.process.thaw()
    for number in range(plan.latency_passes):
        arrivals = poisson_arrivals(per_second / 2, plan.latency_seconds, seed=number)
        even = even_arrivals(per_second / 2, plan.latency_seconds / 2)
        for latencies, outcome in (
            (paced.single_ms, closed_loop(item.port, requests, 1, plan.latency_seconds / 5)),
            (paced.poisson_ms, open_loop(item.port, requests, arrivals)),
            (paced.even_ms, open_loop(item.port, requests, even)),
        ):
            latencies.extend(value * 1e3 for value in outcome.latencies)
            paced.statuses += outcome.statuses
    item.process.freeze()
    return paced


def at_double_load(
    item: Started, pictures: Sequence[bytes], per_second: float, plan: Plan
) -> Overload:
    """Poisson arrivals of which the server can hold the half."""
    requests = [item.server.request(picture) for picture in pictures]
    arrivals = poisson_arrivals(2 * per_second, plan.overload_seconds, seed=99)
    item.process.thaw()
    outcome: Outcome = open_loop(item.port, requests, arrivals)
    item.process.freeze()
    total = sum(outcome.statuses.values())
    return Overload(
        offered_per_second=2 * per_second,
        accepted_per_second=len(outcome.latencies) / outcome.seconds,
        p50_ms=outcome.percentile_ms(50),
        p99_ms=outcome.percentile_ms(99),
        share_503=outcome.statuses[503] / total,
        others=total - outcome.statuses[200] - outcome.statuses[503],
    )
