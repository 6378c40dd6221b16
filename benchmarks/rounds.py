"""Rounds: every server for some seconds, one after the other, and again; all others are stopped."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.limit import Cost, Limit
from benchmarks.load import Outcome, closed_loop
from benchmarks.servers import Started
from benchmarks.terminal import say

CLIENTS = 8
SINGLE_SHARE = 0.2  # of a round's seconds, for one client alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long to measure."""

    rounds: int = 5
    seconds: float = 3.5  # of eight clients, a server and round
    warm_seconds: float = 1.0  # before them, not counted
    latency_seconds: float = 10.0  # of half load, a pass
    latency_passes: int = 3
    overload_seconds: float = 8.0
    seeds: int = 5  # of the dogs


@dataclass(slots=True, kw_only=True)
class Series:
    """One server, a value a round."""

    per_second: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)  # of the server, a request
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    single_ms: list[float] = field(default_factory=list)  # median of one client alone
    client_share: list[float] = field(default_factory=list)  # processors the clients took
    statuses: Counter[int] = field(default_factory=Counter)

    def add(self, many: Outcome, single: Outcome) -> None:
        """One round: eight clients, and one."""
        self.per_second.append(many.per_second)
        self.cpu_ms.append(many.server_cpu_seconds / max(1, len(many.latencies)) * 1e3)
        self.p50_ms.append(many.percentile_ms(50))
        self.p99_ms.append(many.percentile_ms(99))
        self.single_ms.append(single.percentile_ms(50))
        self.client_share.append(many.client_cpu_seconds / many.seconds)
        self.statuses += many.statuses + single.statuses

    @property
    def errors(self) -> int:
        """Answers other than 200."""
        return sum(self.statuses.values()) - self.statuses[200]


@dataclass(slots=True, kw_only=True)
class Measured:
    """All rounds."""

    servers: dict[str, Series] = field(default_factory=dict)
    infer: list[Cost] = field(default_factory=list)  # in the best layout
    same_infer: list[Cost] = field(default_factory=list)  # in the layout that our server has
    decode: list[Cost] = field(default_factory=list)

    def ratios(self, name: str, to: str) -> list[float]:
        """Throughput of `name` over that of `to`, each within its round."""
        pairs = zip(self.servers[name].per_second, self.servers[to].per_second, strict=True)
        return [ours / max(theirs, 1e-9) for ours, theirs in pairs]


def run_rounds(
    started: Sequence[Started], pictures: Sequence[bytes], limit: Limit, plan: Plan
) -> Measured:
    """All servers are frozen before and after. Each round begins with another server."""
    measured = Measured(servers={item.server.name: Series() for item in started})
    for number in range(plan.rounds):
        turn = number * 2 % len(started)
        for item in (*started[turn:], *started[:turn]):
            many, single = _measure(item, pictures, plan)
            measured.servers[item.server.name].add(many, single)
        measured.infer.append(limit.infer(plan.seconds / 2))
        measured.same_infer.append(limit.infer(plan.seconds / 2, limit.server_layout))
        measured.decode.append(limit.decode(plan.seconds / 4))
        say(f"round {number + 1} of {plan.rounds}: " + _line(measured))
    return measured


def _measure(item: Started, pictures: Sequence[bytes], plan: Plan) -> tuple[Outcome, Outcome]:
    requests = [item.server.request(picture) for picture in pictures]
    item.process.thaw()
    many = closed_loop(
        item.port,
        requests,
        CLIENTS,
        plan.seconds,
        warm_seconds=plan.warm_seconds,
        cpu_seconds=item.process.cpu_seconds,
    )
    single = closed_loop(item.port, requests, 1, plan.seconds * SINGLE_SHARE)
    item.process.freeze()
    return many, single


def _line(measured: Measured) -> str:
    last = {name: series.per_second[-1] for name, series in measured.servers.items()}
    return ", ".join(f"{name} {value:.1f}/s" for name, value in last.items())


def middle(values: Sequence[float]) -> float:
    """The median; NaN for none."""
    return statistics.median(values) if values else float("nan")
