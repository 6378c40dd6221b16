"""A server that is killed, asked for more than it can do, or asked ten thousand times.

The short versions run in every `make test`. KENNEL_LONG=1 runs the long ones, which take minutes,
judge by the bars of the project and print them.
"""

import io
import os
import signal
import threading
import time

import numpy as np
import pytest
from load import Load, below, family_mb, is_long
from PIL import Image
from random_bundles import random_bundle
from serving import WAIT_SECONDS, colour_bundle, server

CLIENTS = 4
SLOTS = 16  # invocations at a time in the overload test: few, so that the clients can be many
LONG = is_long()
# One picture of a few sizes each: buffers of different lengths are what fragments a heap.
SIZES = ((500, 375), (1200, 900), (300, 300))
WARM_UP, REQUESTS = (2000, 10_000) if LONG else (300, 600)
# Memory moves by a percent or so with the heap's mood; what leaks, grows with every request.
MOST_GROWTH = 1.02 if LONG else 1.05
OVERLOAD_SECONDS = 60.0 if LONG else 3.0


def jpeg(width, height):
    """A picture that is neither flat nor noise, so that it decodes as a photograph does."""
    coarse = np.random.default_rng(width).integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(coarse).resize((width, height)).save(data, "JPEG", quality=88)
    return data.getvalue()


@pytest.fixture
def show(capsys):
    """Print a bar's line, in the long version."""

    def print_bar(name, value, most):
        if LONG:
            with capsys.disabled():
                verdict = "ok" if value <= most else "short"
                print(f"\nbar {name} {value:.3g} <= {most:g} {verdict}")

    return print_bar


@pytest.mark.parametrize("name", ["colours", "squeezenet1_1"])
def test_kill_9_of_a_worker_costs_only_the_requests_that_it_held(name, show):
    folder = colour_bundle() if name == "colours" else random_bundle(name)
    with server(folder) as process:
        load, stop = Load(port=process.port, data=jpeg(500, 375)), threading.Event()
        threads = load.until(stop, CLIENTS)
        time.sleep(5.0 if LONG else 0.5)
        (worker,) = below(process.process.pid)
        os.kill(worker, signal.SIGKILL)
        killed = time.monotonic()
        deadline = killed + WAIT_SECONDS
        while not any(r.status == 200 and r.begun > killed for r in load.replies[-100:]):
            assert time.monotonic() < deadline, process.log()
            time.sleep(0.01)
        process.wait_until_ready()
        show("ready_after_kill_seconds", time.monotonic() - killed, 5.0)
        time.sleep(5.0 if LONG else 0.3)
        stop.set()
        for thread in threads:
            thread.join(WAIT_SECONDS)
    broken = [reply for reply in load.replies if reply.status == 0]
    assert set(load.statuses()) <= {0, 200}, load.statuses()
    assert len(broken) <= CLIENTS
    assert all(reply.begun < killed for reply in broken)


def test_more_than_the_server_can_do_is_refused_with_503_and_the_rest_is_answered(show):
    environment = {"KENNEL_MAX_IN_FLIGHT": str(SLOTS)}
    with server(random_bundle("squeezenet1_1"), environment) as process:
        data = jpeg(500, 375)
        sustainable = Load(port=process.port, data=data).closed(8, 800 if LONG else 80)
        for factor in (2, 4, 8):  # a noisy machine may do more now than it did a second ago
            load = Load(port=process.port, data=data)
            load.open(factor * sustainable, OVERLOAD_SECONDS / 4, 4 * SLOTS)
            level = family_mb(process.process.pid)  # once all threads have been at work
            load.open(factor * sustainable, OVERLOAD_SECONDS, 4 * SLOTS)
            growth = family_mb(process.process.pid) / level
            if 503 in load.statuses():
                break
        assert process.get("/ping")[0] == 200
    statuses = load.statuses()
    assert set(statuses) == {200, 503}, statuses
    assert all(reply.retry_after for reply in load.replies if reply.status == 503)
    # Nobody who was let in waits for longer than all who may be in take together.
    most_seconds = 1.0 + 3 * SLOTS / sustainable
    show("p99_at_twice_the_load_seconds", load.seconds(0.99), most_seconds)
    show("memory_at_twice_the_load", growth, MOST_GROWTH)
    assert load.seconds(0.99) < most_seconds
    assert growth < MOST_GROWTH


def test_memory_does_not_grow_with_the_number_of_requests(show):
    with server(colour_bundle()) as process:
        loads = [Load(port=process.port, data=jpeg(*size)) for size in SIZES]
        levels = []
        for requests in (WARM_UP, REQUESTS):
            for load in loads * 5:  # in turn: a heap that serves one size only stays tidy
                load.closed(CLIENTS, requests // len(loads * 5))
            levels.append(family_mb(process.process.pid))
        assert all(set(load.statuses()) == {200} for load in loads)
    growth = levels[1] / levels[0]
    show(f"memory_after_{REQUESTS}_requests", growth, MOST_GROWTH)
    assert growth < MOST_GROWTH, levels
