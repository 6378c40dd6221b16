"""The simulator: a trace of traffic against a policy, in steps of one second. Pure."""

import math
from dataclasses import dataclass, field

from contract.errors import SpecError
from control.aws.scaling.defaults import ROOM, STARTUP_SECONDS
from control.aws.scaling.fleet import Fleet, WaitingRoom
from control.aws.scaling.policy import ScalingSpec
from control.aws.scaling.requests import WAKING_COOLDOWN_SECONDS
from control.aws.scaling.trace import Trace
from control.aws.scaling.tracking import MINUTES, ROUNDING, WATCHES, Tracker

# Source: SageMaker developer guide: 60 s for an answer of a container; of an asynchronous endpoint
# RequestTTLSeconds, 6 hours.
LATE_SECONDS, LATE_QUEUED_SECONDS = 60.0, 21_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One instance, as it was measured or is assumed."""

    images_per_second: float  # at most
    latency_seconds: float = 0.0  # of one request on an idle instance; 0: 1 / images_per_second
    startup_seconds: int = STARTUP_SECONDS
    room: int = ROOM  # requests that wait in it; what comes beyond is refused with 503
    usd_per_hour: float | None = None

    @property
    def base_seconds(self) -> float:
        """Of one request that need not wait."""
        return self.latency_seconds or 1 / self.images_per_second


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One scaling activity."""

    second: float  # when it was decided
    before: int
    after: int
    ready_at: float  # when the last of new instances answers; `second` for fewer


@dataclass(slots=True, kw_only=True)
class Played:
    """What happened, second by second: each list has one value a second."""

    seconds: int
    arrived: list[float] = field(default_factory=list)
    served: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)  # part of the served
    waiting: list[float] = field(default_factory=list)  # at the second's end
    latency: list[float] = field(default_factory=list)  # seconds, of the slowest
    metric: list[float] = field(default_factory=list)  # the last point that ended
    ready: list[int] = field(default_factory=list)
    desired: list[int] = field(default_factory=list)  # and paid for
    changes: list[Change] = field(default_factory=list)

    @property
    def instance_hours(self) -> float:
        """That are paid for."""
        return sum(self.desired) / 3600


def simulate(
    trace: Trace,
    spec: ScalingSpec,
    machine: Machine,
    *,
    is_queued: bool = False,
    start: int | None = None,
) -> Played:
    """Play the trace.

    Args:
        is_queued: an asynchronous endpoint: whatever comes waits in AWS's queue.
        start: instances at the beginning; those that the first minute needs unless told.

    Raises SpecError: the policy is not about instances.
    """
    if spec.metric not in WATCHES:
        raise SpecError(
            f"scaling.{spec.metric}: the simulator knows instances, not provisioned concurrency"
        )
    first = _first_instances(trace, spec, machine) if start is None else start
    run = _Run(spec, machine, is_queued, max(spec.minimum, min(spec.maximum, first)))
    for second, rate in enumerate(trace.rates):
        run.step(second, rate)
    return run.played


def _first_instances(trace: Trace, spec: ScalingSpec, machine: Machine) -> int:
    minute = trace.rates[:60]
    rate = sum(minute) / len(minute)
    if spec.metric == "invocations_per_instance":
        return math.ceil(rate * 60 / spec.target - ROUNDING)
    return math.ceil(rate / machine.images_per_second - ROUNDING)


class _Run:
    """The state between two seconds."""

    def __init__(self, spec: ScalingSpec, machine: Machine, is_queued: bool, first: int) -> None:
        self.played = Played(seconds=0)
        self._spec, self._machine, self._is_queued = spec, machine, is_queued
        self._late_seconds = LATE_QUEUED_SECONDS if is_queued else LATE_SECONDS
        self._watch = WATCHES[spec.metric]
        self._tracker = Tracker(spec, self._watch)
        self._fleet, self._room = Fleet(first, machine.startup_seconds), WaitingRoom()
        self._sum = self._most = self._point = 0.0  # of the period that runs; of the last one
        self._held = 0.0  # requests that wait or are computed
        self._due: list[tuple[int, float]] = []  # points that no alarm has seen yet
        self._wake_at, self._wake_until = math.inf, 0.0

    def step(self, second: int, rate: float) -> None:
        self._fleet.advance(second)
        ready = self._fleet.ready
        self.played.ready.append(ready)
        self.played.desired.append(self._fleet.desired)
        self._answer(second, rate, ready)
        self._measure(second, rate, ready)
        self._scale(second + 1)
        self.played.seconds += 1

    def _answer(self, second: int, rate: float, ready: int) -> None:
        """What is served, refused and left waiting this second."""
        machine, room, played = self._machine, self._room, self.played
        capacity = ready * machine.images_per_second
        served = min(room.waiting + rate, capacity)
        left = room.waiting + rate - served
        refused = 0.0 if self._is_queued else max(0.0, min(rate, left - ready * machine.room))
        late = 0.0
        wait = by_chance = self._queueing(rate, capacity)
        if room.waiting > 0 or left > 0:
            room.add(second, rate - refused)
            late, longest = room.take(second, min(served, room.waiting), self._late_seconds)
            newest = room.waiting / capacity if capacity else room.age(second)
            wait = max(longest, newest, wait)
        played.arrived.append(rate)
        played.served.append(served)
        played.refused.append(refused)
        played.late.append(late)
        played.waiting.append(room.waiting)
        played.latency.append(machine.base_seconds + wait)
        # Little's law: those in an instance are those that come times how long they stay.
        self._held = room.waiting + served * (machine.base_seconds + by_chance)

    def _queueing(self, rate: float, capacity: float) -> float:
        """The mean wait when requests come at random, before any queue stays: M/D/1.

        Each instance by itself, since SageMaker sends requests to them at random.
        """
        if not 0 < rate <= capacity:
            return 0.0
        idle = 1 - rate / capacity
        each = self._machine.images_per_second
        longest = self._machine.room / (2 * each)  # when all are busy, the room is half full
        return min((1 - idle) / (2 * each * idle), longest) if idle > ROUNDING else longest

    def _measure(self, second: int, rate: float, ready: int) -> None:
        """The metric's periods, as CloudWatch counts them."""
        held = self._held / max(1, ready)
        if self._spec.metric == "invocations_per_instance":
            self._sum += rate / max(1, ready)
        else:
            self._sum += held / self._watch.period_seconds
            self._most = max(self._most, held)
        end = second + 1
        if end % self._watch.period_seconds == 0:
            is_fast = self._spec.metric == "concurrent_requests_per_model"
            self._point = self._most if is_fast else self._sum
            self._due.append((end + self._watch.delay_seconds, self._point))
            self._sum = self._most = 0.0
        if end % MINUTES.period_seconds == 0 and ready == 0 and self._room.waiting > 0:
            self._wake_at = min(self._wake_at, end + MINUTES.delay_seconds)
        self.played.metric.append(self._point)

    def _scale(self, second: int) -> None:
        """What the alarms see now, and what comes of it."""
        self._fleet.advance(second)
        while self._due and self._due[0][0] <= second:
            self._tracker.see(self._due.pop(0)[1])
            self._decide(second)
        if second >= self._wake_at:
            self._wake_at = math.inf
            if self._fleet.desired == 0 and second >= self._wake_until:
                self._change(second, 1)
                self._wake_until = self._fleet.ready_at + WAKING_COOLDOWN_SECONDS

    def _decide(self, second: int) -> None:
        if self._fleet.is_changing:
            return
        wanted = self._tracker.decide(second, self._fleet.desired)
        if wanted is not None:
            self._change(second, wanted)

    def _change(self, second: int, wanted: int) -> None:
        before = self._fleet.desired
        self._fleet.change(second, wanted)
        self._tracker.changed(second, before, wanted, self._fleet.ready_at)
        self.played.changes.append(
            Change(second=second, before=before, after=wanted, ready_at=self._fleet.ready_at)
        )
