"""Findings: what a played trace comes to, and what to change about the policy."""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from control.aws.scaling.fleet import SPECK
from control.aws.scaling.policy import ScalingSpec
from control.aws.scaling.simulation import Machine, Played, simulate
from control.aws.scaling.trace import Trace
from control.aws.scaling.tracking import ROUNDING
from control.terminal import duration

# Source: SageMaker developer guide, Load testing your auto scaling configuration: a first target
# is half of what an instance was measured to do.
USUAL_SHARE = 0.5
# Of what instances can do, by which a fleet counts as enough: without some to spare, chance alone
# fills their queues.
SPARE_SHARE = 0.9
FULL_SHARE = 0.8  # of what an instance can do: with more, a queue is there before an alarm is
IDLE_SHARE = 0.2
CAPPED_SHARE = 0.05  # of the time above the target with `max` instances: it is not by chance
BACK_AND_FORTH_SECONDS = 1800.0  # fewer, and more again within this time: it was too early
MOST_FIXED = 1000
NOBODY_LOST = 0.5  # requests: less than one
EARLIER = (0.75, 0.5, 0.3)  # shares of the target that are tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Figures of one played trace. Requests may be parts of one: rates are no whole numbers."""

    seconds: int
    arrived: float
    answered: float  # in time
    late: float  # answered when the caller had gone
    refused: float  # 503
    waiting: float  # still, at the end
    peak_instances: int  # that were paid for
    peak_per_second: float  # requests, in the fullest minute
    seconds_over_target: int
    seconds_at_max: int  # part of them, with `max` instances
    longest_wait_seconds: float  # estimate, of one request, its computing included
    usual_seconds: float  # median of that
    slow_seconds: float  # 99th percentile
    num_changes: int
    instance_hours: float
    fixed_max_hours: float  # with `max` instances all the time
    fixed_enough: int  # the smallest fleet that never changes and refuses nothing; 0: none does
    usd: float | None
    fixed_max_usd: float | None
    fixed_enough_usd: float | None
    advice: tuple[str, ...]

    @property
    def lost(self) -> float:
        """Requests that their callers got no answer to."""
        return self.refused + self.late

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {name: getattr(self, name) for name in self.__slots__}


def find_out(
    trace: Trace, spec: ScalingSpec, machine: Machine, played: Played, *, is_queued: bool = False
) -> Findings:
    """Count, compare with fleets that never change, and advise."""
    hours = played.seconds / 3600
    price = machine.usd_per_hour
    usual, slow = quantiles(played, (0.5, 0.99))
    # A queue may hold anything: there, enough is what keeps no request waiting for over a minute.
    room = int(60 * machine.images_per_second) if is_queued else machine.room
    enough = smallest_fixed(trace, replace(machine, room=room))
    figures = Findings(
        seconds=played.seconds,
        arrived=sum(played.arrived),
        answered=sum(played.served) - sum(played.late),
        late=sum(played.late),
        refused=sum(played.refused),
        waiting=played.waiting[-1],
        peak_instances=max(played.desired),
        peak_per_second=trace.peak,
        seconds_over_target=sum(value > spec.target for value in played.metric),
        seconds_at_max=sum(
            value > spec.target and count == spec.maximum
            for value, count in zip(played.metric, played.ready, strict=True)
        ),
        longest_wait_seconds=max(played.latency),
        usual_seconds=usual,
        slow_seconds=slow,
        num_changes=len(played.changes),
        instance_hours=played.instance_hours,
        fixed_max_hours=spec.maximum * hours,
        fixed_enough=enough,
        usd=_times(price, played.instance_hours),
        fixed_max_usd=_times(price, spec.maximum * hours),
        fixed_enough_usd=_times(price, enough * hours) if enough else None,
        advice=(),
    )
    return replace(
        figures, advice=tuple(_advice(trace, spec, machine, figures, played, is_queued=is_queued))
    )


def quantiles(played: Played, shares: tuple[float, ...]) -> tuple[float, ...]:
    """Latencies in seconds, each second counted by the requests that came in it."""
    pairs = sorted(
        (latency, came)
        for latency, came in zip(played.latency, played.arrived, strict=True)
        if came > 0
    )
    if not pairs:
        return (0.0,) * len(shares)
    totals = list(accumulate(came for _, came in pairs))
    places = (min(bisect_left(totals, share * totals[-1]), len(pairs) - 1) for share in shares)
    return tuple(pairs[place][0] for place in places)


def smallest_fixed(trace: Trace, machine: Machine) -> int:
    """The smallest fleet that never changes and refuses nothing, with a tenth to spare; 0: none."""
    return _smallest(1, MOST_FIXED, lambda count: _carries(trace, machine, count)) or 0


def _smallest(low: int, high: int, is_enough: Callable[[int], bool]) -> int | None:
    """The smallest number that is enough, where every larger one is; None: not even `high` is."""
    if low > high or not is_enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        if is_enough(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _carries(trace: Trace, machine: Machine, instances: int) -> bool:
    capacity = SPARE_SHARE * instances * machine.images_per_second
    room = instances * machine.room
    waiting = 0.0
    for rate in trace.rates:
        waiting += rate - capacity
        if waiting > room + SPECK:
            return False
        waiting = max(0.0, waiting)
    return True


def _advice(
    trace: Trace,
    spec: ScalingSpec,
    machine: Machine,
    figures: Findings,
    played: Played,
    *,
    is_queued: bool,
) -> list[str]:
    about_target = _about_target(spec, machine)
    found = list(about_target)
    if figures.lost >= NOBODY_LOST and not is_queued:
        found += _about_lost(trace, spec, machine, figures)
    # A target that is far too low asks for far too many: that is one piece of advice, not two.
    bounds = _about_bounds(spec, machine, figures)
    found += bounds or ([] if about_target else _about_cap(spec, figures))
    if is_queued and figures.longest_wait_seconds > 60:
        longest = duration(figures.longest_wait_seconds)
        more = "" if spec.minimum else "; min = 1 keeps an instance ready, and is paid for all day"
        found.append(f"the longest wait in the queue is {longest}{more}")
    if (back := _back_and_forth(played)) > 1:
        found.append(
            f"{back} times instances went and came back within "
            f"{duration(BACK_AND_FORTH_SECONDS)}: raise scale_in_cooldown_seconds, now "
            f"{spec.scale_in_cooldown_seconds}"
        )
    return found or ["nothing to change: the fleet follows the traffic"]


def _about_target(spec: ScalingSpec, machine: Machine) -> list[str]:
    """Whether the target leaves an instance room, and does not leave it idle."""
    if spec.metric != "invocations_per_instance":
        return []
    a_minute = machine.images_per_second * 60
    share = spec.target / a_minute
    half = f"{float(f'{USUAL_SHARE * a_minute:.3g}'):,.0f}"
    often = f"one request in {60 / spec.target:.3g} s"
    if spec.target >= 60:
        often = f"{spec.target / 60:.3g} a second"
    if share > FULL_SHARE:
        return [
            f"invocations_per_instance = {spec.target:g} a minute is {100 * share:.0f} % of what an"
            f" instance can do: it is full before more are asked for; AWS suggests half, {half}"
        ]
    if share < IDLE_SHARE:
        return [
            f"invocations_per_instance = {spec.target:g} is a figure for a MINUTE, "
            f"{often}: instances stay {100 * (1 - share):.0f} % idle; AWS suggests"
            f" half of what one can do, {half}"
        ]
    return []


def _about_bounds(spec: ScalingSpec, machine: Machine, figures: Findings) -> list[str]:
    if 0 < figures.fixed_enough <= spec.minimum and spec.maximum > spec.minimum:
        return [
            f"a fleet of {figures.fixed_enough} that never changes carries all of it: this traffic "
            "needs no scaling"
        ]
    if figures.fixed_enough > spec.maximum:
        return [
            f"max = {spec.maximum} is too few: the peak, {figures.peak_per_second:.3g} requests a "
            f"second, needs {figures.fixed_enough} instances of {machine.images_per_second:.3g}"
        ]
    return []


def _about_cap(spec: ScalingSpec, figures: Findings) -> list[str]:
    """Whether the policy would have taken more than it may."""
    needed = math.ceil(figures.peak_per_second * 60 / spec.target - ROUNDING)
    is_counted = spec.metric == "invocations_per_instance"
    if is_counted and figures.seconds_at_max > CAPPED_SHARE * figures.seconds:
        return [
            f"for {duration(figures.seconds_at_max)} the target asks for more than max = "
            f"{spec.maximum}: at the peak, for {needed}"
        ]
    return []


def _about_lost(trace: Trace, spec: ScalingSpec, machine: Machine, figures: Findings) -> list[str]:
    """The smallest `min`, and the highest target, with which nobody is lost; each is played."""

    def play(other: ScalingSpec) -> Played:
        return simulate(trace, other, machine)

    def is_enough(count: int) -> bool:
        slower = replace(machine, images_per_second=SPARE_SHARE * machine.images_per_second)
        return not _loses(simulate(trace, replace(spec, minimum=count), slower))

    now = _money(machine, figures.instance_hours)
    found = []
    if least := _smallest(spec.minimum + 1, spec.maximum, is_enough):
        hours = play(replace(spec, minimum=least)).instance_hours
        found.append(
            f"with min = {least} nobody is refused: {_money(machine, hours)} instead of {now}"
        )
    for share in EARLIER:
        other = replace(spec, target=round(max(1.0, spec.target * share), 2))
        if other.target < spec.target and not _loses(played := play(other)):
            cost = _money(machine, played.instance_hours)
            found.append(
                f"with {spec.metric} = {other.target:g} nobody is refused: {cost} instead of {now}"
            )
            break
    return found or [
        f"neither min = {spec.maximum} nor an earlier target saves all of them: raise max, or "
        "take a faster instance"
    ]


def _loses(played: Played) -> bool:
    return sum(played.refused) + sum(played.late) >= NOBODY_LOST


def _back_and_forth(played: Played) -> int:
    """How often fewer instances were followed by more within half an hour."""
    pairs = zip(played.changes, played.changes[1:], strict=False)
    return sum(
        one.after < one.before
        and other.after > other.before
        and other.second - one.second <= BACK_AND_FORTH_SECONDS
        for one, other in pairs
    )


def _money(machine: Machine, hours: float) -> str:
    if machine.usd_per_hour is None:
        return f"{hours:.1f} instance hours"
    return f"${hours * machine.usd_per_hour:,.2f}"


def _times(price: float | None, hours: float) -> float | None:
    return None if price is None else price * hours
