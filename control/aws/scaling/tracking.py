"""Tracking: what Application Auto Scaling decides from the points of one metric, as documented.

Source: Application Auto Scaling user guide, How target tracking scaling works; SageMaker developer
guide, Define a scaling policy (metrics every 10 s), Edit a scaling policy (no traffic counts as 0).
What is not documented is said in ASSUMPTIONS, which the page shows.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from control.aws.scaling.policy import Metric, ScalingSpec

LOW_SHARE = 0.9  # of the target. Source: the user guide: "usually more than 10% lower"
ROUNDING = 1e-9  # so that 3.0000000001 instances are 3, and 60.0000000001 a minute are 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The two alarms of a policy."""

    period_seconds: int  # of one point
    out_points: int  # one after another above the target: more instances
    in_points: int  # ... below 90 % of it: fewer
    delay_seconds: int  # from a period's end until the alarm sees its point


# Points as AWS's own alarms have them: 3 for out, 15 minutes for in; the faster metric is read
# every 10 s and scales in no faster than the others.
MINUTES = Watch(period_seconds=60, out_points=3, in_points=15, delay_seconds=60)
WATCHES: Mapping[Metric, Watch] = {
    "invocations_per_instance": MINUTES,
    "concurrent_requests_per_model": Watch(
        period_seconds=10, out_points=3, in_points=90, delay_seconds=10
    ),
    "backlog_per_instance": MINUTES,
}
ASSUMPTIONS = (
    "A point is seen some time after its period: here a minute, or 10 s for the faster metric.",
    "Fewer instances come at once, as many as the last point asks for; AWS only says that it is"
    " more careful then than with more instances.",
    "While instances start, the endpoint takes no other change; a cooldown begins when they are"
    " ready.",
    "An instance is paid for from the moment it is asked for.",
)


class Tracker:
    """The decisions of one policy. Seconds are those of the trace."""

    def __init__(self, spec: ScalingSpec, watch: Watch) -> None:
        self._spec, self._watch = spec, watch
        self._points: deque[float] = deque(maxlen=max(watch.out_points, watch.in_points))
        self._before = 0  # instances before the last time that some were added
        self._out_until = self._in_until = 0.0

    def see(self, value: float) -> None:
        """A new point has come."""
        self._points.append(value)

    @property
    def is_high(self) -> bool:
        """The alarm for more."""
        high = self._spec.target * (1 + ROUNDING)
        return self._all(self._watch.out_points, lambda value: value > high)

    @property
    def is_low(self) -> bool:
        """The alarm for fewer."""
        low = LOW_SHARE * self._spec.target * (1 - ROUNDING)
        return self._all(self._watch.in_points, lambda value: value < low)

    def decide(self, second: float, current: int) -> int | None:
        """How many instances there should be; None: nothing changes."""
        if self.is_high:
            # In the cooldown, what was added before counts: only a larger step is taken.
            base = self._before if second < self._out_until else current
            wanted = min(self._spec.maximum, self._needed(max(1, base)))
            return wanted if wanted > current else None
        if self.is_low and second >= self._in_until:
            wanted = max(self._spec.minimum, self._needed(current))
            return wanted if wanted < current else None
        return None

    def changed(self, second: float, before: int, after: int, ready_at: float) -> None:
        """A decision was carried out; the cooldowns run from when it is complete."""
        if after > before:
            self._before = before
            self._out_until = ready_at + self._spec.scale_out_cooldown_seconds
            self._in_until = 0.0  # more instances end the other cooldown
        else:
            self._in_until = second + self._spec.scale_in_cooldown_seconds

    def _needed(self, instances: int) -> int:
        """So many that the metric comes down, or up, to the target."""
        return math.ceil(instances * self._points[-1] / self._spec.target - ROUNDING)

    def _all(self, count: int, holds: Callable[[float], bool]) -> bool:
        if len(self._points) < count:
            return False
        return all(holds(value) for value in list(self._points)[-count:])
