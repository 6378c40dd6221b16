"""The scaling simulator: nothing gets lost, closed formulas, a slow second simulator, cooldowns."""

import math
import random
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scaled import play_slowly, spec

from contract.errors import SpecError
from control.aws.scaling.policy import ScalingSpec
from control.aws.scaling.simulation import Machine, simulate
from control.aws.scaling.trace import Trace, shaped

HOUR = 3600
# Pieces of constant traffic: (seconds, whole requests a second).
PIECES = st.lists(st.tuples(st.integers(30, 1500), st.integers(0, 12)), min_size=1, max_size=8)
POLICIES = st.builds(
    spec,
    minimum=st.integers(1, 2),
    maximum=st.integers(2, 6),
    target=st.integers(20, 200).map(float),
    scale_in_cooldown_seconds=st.integers(0, 3600),
    scale_out_cooldown_seconds=st.integers(0, 900),
)
MACHINES = st.builds(
    Machine,
    images_per_second=st.integers(1, 5).map(float),
    room=st.integers(0, 70),
    startup_seconds=st.integers(0, 700),
)


def trace(*pieces):
    return Trace(name="test", rates=tuple(float(r) for length, r in pieces for _ in range(length)))


@settings(max_examples=60, deadline=None)
@given(pieces=PIECES, policy=POLICIES, machine=MACHINES)
def test_a_slow_simulator_written_another_way_agrees(pieces, policy, machine):
    rates = [rate for length, rate in pieces for _ in range(length)]
    played = simulate(trace(*pieces), policy, machine)
    slow = play_slowly(
        rates, policy, int(machine.images_per_second), machine.room, machine.startup_seconds
    )
    changes, served, refused, left, late, paid = slow
    assert [(one.second, one.before, one.after) for one in played.changes] == changes
    assert sum(played.served) == pytest.approx(served, abs=1e-6)
    assert sum(played.refused) == pytest.approx(refused, abs=1e-6)
    assert played.waiting[-1] == pytest.approx(left, abs=1e-6)
    assert sum(played.late) == pytest.approx(late, abs=1e-6)
    assert sum(played.desired) == paid


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(
        st.tuples(st.integers(1, 900), st.floats(0, 40, width=32)), min_size=1, max_size=8
    ),
    policy=POLICIES,
    machine=MACHINES,
    is_queued=st.booleans(),
)
def test_no_request_gets_lost_or_comes_twice(pieces, policy, machine, is_queued):
    played = simulate(trace(*pieces), policy, machine, is_queued=is_queued)
    total = sum(played.served) + sum(played.refused) + played.waiting[-1]
    assert total == pytest.approx(sum(played.arrived), abs=1e-4)
    assert sum(played.arrived) == pytest.approx(sum(n * rate for n, rate in pieces))
    for k in range(played.seconds):
        assert played.served[k] <= played.ready[k] * machine.images_per_second + 1e-9
        assert played.late[k] <= played.served[k] + 1e-9
        assert played.refused[k] <= played.arrived[k]
    assert not is_queued or sum(played.refused) == 0


@settings(max_examples=80, deadline=None)
@given(pieces=PIECES, policy=POLICIES, machine=MACHINES)
def test_cooldowns_bounds_and_changes_that_run_are_respected(pieces, policy, machine):
    played = simulate(trace(*pieces), policy, machine)
    counts = {*played.ready, *played.desired}
    assert min(counts) >= policy.minimum
    assert max(counts) <= policy.maximum
    for one, other in zip(played.changes, played.changes[1:], strict=False):
        assert other.second >= one.ready_at
        assert other.before == one.after
        if one.after < one.before and other.after < other.before:
            assert other.second - one.second >= policy.scale_in_cooldown_seconds
        soon = other.second < one.ready_at + policy.scale_out_cooldown_seconds
        if one.after > one.before and other.after > other.before and soon:
            # Only a larger step from where the first one began.
            point = played.metric[other.second - 61]
            needed = math.ceil(one.before * point / policy.target - 1e-9)
            assert one.after < other.after == min(policy.maximum, needed)


@settings(max_examples=40, deadline=None)
@given(rate=st.floats(0.1, 30), target=st.integers(30, 300), top=st.integers(1, 40))
def test_steady_traffic_ends_at_the_closed_formula(rate, target, top):
    policy = spec(target=float(target), maximum=top, scale_out_cooldown_seconds=3600)
    steady = Trace(name="steady", rates=(rate,) * 2 * HOUR)
    played = simulate(steady, policy, Machine(images_per_second=2.0), start=1)
    exact = Fraction(rate) * 60 / target
    if abs(exact - round(exact)) > 1e-6:
        assert played.desired[-1] == max(1, min(top, math.ceil(exact)))


def test_idle_instances_go_when_the_metric_is_a_tenth_below_the_target():
    policy = spec(minimum=1, maximum=10, target=60.0)
    machine = Machine(images_per_second=2.0)
    # 8 of 10 needed: 48 a minute each is below 54. 9.5 of 10 needed: 57 is not.
    fewer = simulate(Trace(name="", rates=(8.0,) * 2 * HOUR), policy, machine, start=10)
    same = simulate(Trace(name="", rates=(9.5,) * 2 * HOUR), policy, machine, start=10)
    assert [(one.before, one.after) for one in fewer.changes] == [(10, 8)]
    # 15 points and the minute until the last one is seen.
    assert fewer.changes[0].second == 16 * 60
    assert same.changes == []


def test_three_minutes_above_the_target_bring_what_is_needed():
    policy, machine = spec(target=60.0), Machine(images_per_second=3.0, startup_seconds=200)
    played = simulate(trace((600, 0), (3000, 4)), policy, machine)
    (change,) = played.changes
    # Minutes 11, 12 and 13 are above; the last one is seen a minute after its end.
    assert (change.second, change.before, change.after) == (14 * 60, 1, 4)
    assert change.ready_at == 14 * 60 + 200
    # Two a second of four wait until the room of 64 is full, and are refused then.
    assert sum(played.refused) == pytest.approx((840 + 200 - 600) * 1 - 64, abs=1)


def test_while_instances_start_nothing_else_changes_and_then_the_larger_step_is_taken():
    policy = spec(target=60.0, maximum=10, scale_out_cooldown_seconds=300)
    machine = Machine(images_per_second=2.0, startup_seconds=600)
    played = simulate(trace((600, 0), (300, 2), (1500, 8)), policy, machine)
    # Two a second ask for 2; eight ask for 8, from second 960 on, while the first one starts.
    first, second = played.changes
    assert (first.second, first.before, first.after, first.ready_at) == (840, 1, 2, 1440)
    assert (second.second, second.before, second.after) == (1440, 2, 8)


def test_more_instances_end_the_cooldown_of_fewer():
    policy = spec(target=60.0, maximum=5, scale_in_cooldown_seconds=3600)
    machine = Machine(images_per_second=9.0, startup_seconds=60)
    played = simulate(trace((1000, 1), (900, 4), (3000, 1)), policy, machine, start=5)
    changes = [(one.second, one.before, one.after) for one in played.changes]
    # Otherwise the third one had to wait until 960 + 3600.
    assert changes == [(960, 5, 1), (1200, 1, 4), (2820, 4, 1)]


def test_the_fast_metric_sees_a_crowd_within_a_minute():
    fast = ScalingSpec(maximum=5, metric="concurrent_requests_per_model", target=4.0)
    played = simulate(trace((600, 0), (1200, 9)), fast, Machine(images_per_second=3.0))
    # Three points of 10 s, and 10 s until the last one is seen.
    assert 630 <= played.changes[0].second <= 650
    slow = simulate(trace((600, 0), (1200, 9)), spec(), Machine(images_per_second=3.0))
    assert slow.changes[0].second - played.changes[0].second > 120


def test_a_queue_wakes_the_endpoint_from_zero_and_it_sleeps_again():
    policy = ScalingSpec(minimum=0, maximum=3, metric="backlog_per_instance", target=50.0)
    quiet = trace((30, 0), (10, 2), (3 * HOUR, 0))
    machine = Machine(images_per_second=2.0, startup_seconds=240)
    played = simulate(quiet, policy, machine, is_queued=True, start=0)
    wake, sleep = played.changes
    # One minute's point, seen a minute later.
    assert (wake.second, wake.before, wake.after, wake.ready_at) == (120, 0, 1, 360)
    assert (sleep.before, sleep.after) == (1, 0)
    assert played.ready[-1] == 0
    assert sum(played.served) == pytest.approx(20)
    # The last one came at second 39, and waited for the instance and 9 s of others.
    assert max(played.latency) == pytest.approx(369 - 39 + 0.5, abs=12)


def test_the_estimated_wait_is_that_of_requests_at_random_times():
    """M/D/1 by Lindley's recursion: one request after another, with times drawn by chance."""
    source = random.Random(3)
    each, rate = 0.25, 2.8  # seconds of one request; requests a second: 70 % busy
    wait = total = 0.0
    for _ in range(200_000):
        total += wait
        wait = max(0.0, wait + each - source.expovariate(rate))
    policy, machine = spec(maximum=1), Machine(images_per_second=1 / each)
    played = simulate(Trace(name="", rates=(rate,) * 120), policy, machine)
    assert played.latency[100] - each == pytest.approx(total / 200_000, rel=0.05)
    # Little's law for how many it works on or holds.
    fast = ScalingSpec(maximum=1, metric="concurrent_requests_per_model", target=50.0)
    played = simulate(Trace(name="", rates=(rate,) * 120), fast, machine)
    assert played.metric[100] == pytest.approx(rate * (total / 200_000 + each), rel=0.05)


def test_a_day_takes_about_a_second_at_most():
    begun = time.process_time()
    simulate(shaped("day", 50.0), spec(target=600.0), Machine(images_per_second=20.0))
    assert time.process_time() - begun < 2  # 0.2 s where nothing else runs


def test_provisioned_concurrency_is_no_instance():
    policy = ScalingSpec(maximum=3, metric="provisioned_utilization", target=0.5)
    with pytest.raises(SpecError, match="knows instances"):
        simulate(trace((60, 1)), policy, Machine(images_per_second=1.0))
