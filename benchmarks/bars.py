"""Bars: what must be reached, one line each."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.dogs import Dogs
from benchmarks.pace import Paced
from benchmarks.rounds import Measured, middle

OURS = "kennel"
FASTER_THAN = (("torchserve", 5.0), ("torchserve-tuned", 2.5), ("flask", 2.8))
LIMIT_SHARE = 0.9
OVERHEAD_MS = 1.0
HALF_LOAD_P99 = 2.0
AGREEMENT = 0.99
ACCURACY_GAP = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One measured value and its target."""

    name: str
    value: float
    target: float
    at_most: bool = False  # the value must not exceed the target; else it must reach it
    values: tuple[float, ...] = ()  # of each round, where there are rounds

    @property
    def is_reached(self) -> bool:
        """NaN is not."""
        return self.value <= self.target if self.at_most else self.value >= self.target

    def line(self) -> str:
        """`bar NAME VALUE >= TARGET ok`, or `<=`, or `short`."""
        sign = "<=" if self.at_most else ">="
        verdict = "ok" if self.is_reached else "short"
        return f"bar {self.name} {self.value:.3f} {sign} {self.target:g} {verdict}"


def bars_of(measured: Measured, paced: Paced | None, dogs: Dogs) -> list[Bar]:
    """Every bar that was measured."""
    found = [*_speed(measured)] if OURS in measured.servers else []
    if paced is not None:
        # Arrivals at equal distances. Random ones at half of what n servers can do make even a
        # perfect queue (M/D/2: 2.6, M/D/4: 1.9) wait longer; the page has those, too.
        value = paced.p99_over_single(paced.even_ms)
        found.append(
            Bar(name="serve-half-load-p99", value=value, target=HALF_LOAD_P99, at_most=True)
        )
    if not dogs.why_not:
        found.append(
            Bar(
                name="dogs-agreement",
                value=sum(dogs.agreement) / len(dogs.agreement),
                target=AGREEMENT,
                values=tuple(dogs.agreement),
            )
        )
        found.append(
            Bar(name="dogs-accuracy-gap", value=dogs.gap, target=ACCURACY_GAP, at_most=True)
        )
    return found


def _speed(measured: Measured) -> Iterator[Bar]:
    for peer, target in FASTER_THAN:
        if peer in measured.servers:
            ratios = tuple(measured.ratios(OURS, peer))
            yield Bar(name=f"serve-over-{peer}", value=middle(ratios), target=target, values=ratios)
    ours = measured.servers[OURS]
    costs = list(zip(measured.infer, measured.decode, strict=True))
    shares = tuple(
        per_second * (infer.wall_ms + decode.wall_ms) / 1e3
        for per_second, (infer, decode) in zip(ours.per_second, costs, strict=True)
    )
    yield Bar(name="serve-of-limit", value=middle(shares), target=LIMIT_SHARE, values=shares)
    around = tuple(
        cpu_ms - infer.cpu_ms - decode.cpu_ms
        for cpu_ms, infer, decode in zip(
            ours.cpu_ms, measured.same_infer, measured.decode, strict=True
        )
    )
    yield Bar(
        name="serve-overhead-ms",
        value=middle(around),
        target=OVERHEAD_MS,
        at_most=True,
        values=around,
    )
