"""Operators: what torch computes in chosen steps, one span an operator or kernel.

Source: smdebug 1.0.34's profiler (phases cpu_functions, gpu_functions-dev:N).
"""

import bisect
import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.profiler import ProfilerActivity

from train.trace_file import Span, TraceFile

log = logging.getLogger(__name__)

# Events wait in memory until torch's profiler stops; stopping it waits for the GPU.
STEPS_AT_ONCE = 10
# About 100 MB of files; a resnet18 has 1,340 events a step.
MOST_EVENTS = 500_000
_QUIET = ("KINETO_LOG_LEVEL", "99")  # it prints on stderr when it starts, and wants a GPU


class Operators:
    """torch's profiler, run over a few steps at a time."""

    def __init__(self, file: TraceFile) -> None:
        self._file = file
        self._profile: Any = None
        self._steps: list[tuple[int, int]] = []  # when each began (Unix ns), its number
        self._num_ended = 0  # of them
        self._left = MOST_EVENTS

    @property
    def is_full(self) -> bool:
        """True when no further step is looked at."""
        return self._left <= 0

    @property
    def must_pause(self) -> bool:
        """True when enough steps wait in memory."""
        return len(self._steps) >= STEPS_AT_ONCE

    def begin_step(self, step: int) -> None:
        """Look at what is computed from here on."""
        if self._profile is None:
            activities = [ProfilerActivity.CPU]
            if torch.cuda.is_available():
                activities.append(ProfilerActivity.CUDA)
            profile = torch.profiler.profile(activities=activities)
            with _quiet():
                profile.start()
            self._profile = profile
        self._steps.append((time.time_ns(), step))

    def end_step(self) -> None:
        """Operators of a GPU may still run."""
        self._num_ended += 1

    def pause(self) -> None:
        """Stop, and write what was seen."""
        if self._profile is None:
            return
        profile, self._profile = self._profile, None
        steps, self._steps = self._steps, []
        came, self._num_ended = self._num_ended, 0  # one that began need not have come
        with _quiet():
            profile.stop()
        events = profile.profiler.kineto_results.events()
        # Marks like Optimizer.step are no operators, and our own spans say the same.
        events = [event for event in events if not event.is_user_annotation()]
        # Once for all: what lies within an operator still does afterwards.
        to_clock_ns = time.perf_counter_ns() - time.time_ns()
        spans = (_span_of(event, steps, to_clock_ns) for event in events[: self._left])
        numbers = {number for _, number in steps[:came]}
        self._file.write(span for span in spans if span[3] in numbers)
        self._left -= len(events)
        if self.is_full:
            log.warning("warning: no more operators are recorded: %d are enough", MOST_EVENTS)


def _span_of(event: Any, steps: list[tuple[int, int]], to_clock_ns: int) -> Span:
    start_ns = event.start_ns()
    place = max(0, bisect.bisect_right(steps, start_ns, key=lambda one: one[0]) - 1)
    facts = {"name": event.name(), "tid": event.start_thread_id(), "device": "cpu"}
    phase = "cpu_functions"
    if event.device_type() != torch.autograd.DeviceType.CPU:
        phase = f"gpu_functions-dev:{event.device_index()}"
        facts |= {"tid": event.device_resource_id(), "device": "gpu"}  # its stream
    ends = start_ns + to_clock_ns, start_ns + event.duration_ns() + to_clock_ns
    return phase, *ends, steps[place][1], facts


@contextmanager
def _quiet() -> Iterator[None]:
    """It also warns that a start takes away what was seen before, which is what we want."""
    name, level = _QUIET
    before = os.environ.get(name)
    os.environ.setdefault(name, level)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if before is None:
            del os.environ[name]
