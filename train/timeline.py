"""RunTimeline: what one process spends its time on, span by span. A Timeline of watch.py.

Times are those of this process: on a GPU a span ends when the work is handed over, not when it is
done, since waiting for it would slow training down.
"""

import time
from array import array
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

from train.batches import Batch
from train.contained import Contained
from train.operator_windows import OperatorWindows
from train.trace_file import NO_STEP, SPARSE, Span, TraceFile
from train.watch import Phase

# Of spans that bear another name than their phase; smdebug's analysis looks for the first.
SPAN_NAMES: Mapping[str, str] = {Phase.DATA_WAIT: "DataLoaderIter::GetNext"}

_FLUSH_NS = 1_000_000_000  # what a killed process may lose
# A step with all its spans costs 10 microseconds, and 20 to 40 where the network keeps the caches
# busy, so of steps that are shorter than this only one in so many has spans within. It says so.
_SHORT_STEP_NS = 5_000_000
_ONE_IN = SPARSE["one_in"]
_STEPS_LOOKED_AT = 100  # before it is decided, again and again
_NO_SPAN: AbstractContextManager[None] = nullcontext()
_WITHIN_STEPS = (Phase.COPY, Phase.FORWARD, Phase.BACKWARD, Phase.OPTIMIZER)
_NUMBERS = {phase: number for number, phase in enumerate(Phase)}
_PHASES = tuple(phase.value for phase in Phase)
_STEP, _DATA_WAIT = _NUMBERS[Phase.STEP], _NUMBERS[Phase.DATA_WAIT]
_NO_FACTS, _SPARSE_FACTS = -1, -2
_Spans = Mapping[Phase, AbstractContextManager[None]]


class RunTimeline:
    """Keeps spans for a second, then appends them to the file; never ends a job."""

    def __init__(self, file: TraceFile, windows: OperatorWindows) -> None:
        self._file, self._windows = file, windows
        self._contained = Contained("the timeline")
        # Number of the phase, start, end, step, place among the facts, again and again: thousands
        # of objects would have Python look for garbage among all that torch has made.
        self._numbers = array("q")
        self._facts: list[Mapping[str, Any]] = []
        self._flush_at = time.perf_counter_ns() + _FLUSH_NS
        self._is_closed = False
        self._step = NO_STEP  # of training: under way, or the last one
        self._num_evaluated = 0  # batches of evaluations, over all of them
        # Of the epoch under way: what this process alone had of the cores, and in how many steps.
        self._cpu_ns = self._num_steps = 0
        # Most spans say nothing more; one object a phase will do, as none lies within itself.
        parts = {phase: _Part(self, phase, _NO_FACTS) for phase in _WITHIN_STEPS}
        others = {phase: _Measured(self, phase, None) for phase in Phase if phase not in parts}
        self._all: _Spans = {**others, **parts}
        thin = {phase: _Part(self, phase, _SPARSE_FACTS) for phase in _WITHIN_STEPS}
        self._thin: _Spans = {**self._all, **thin}
        self._none: _Spans = {**self._all, **dict.fromkeys(_WITHIN_STEPS, _NO_SPAN)}
        self._now = self._all
        self._is_sparse, self._looked_at, self._looked_ns = False, 0, 0

    def span(self, phase: Phase, **facts: Any) -> AbstractContextManager[None]:
        """Lasts as long as the block; `facts` go into the event's arguments."""
        return _Measured(self, phase, facts) if facts else self._now[phase]

    def record(
        self, phase: Phase, start_ns: int, end_ns: int, facts: Mapping[str, Any] | None
    ) -> None:
        """A span that is over, also of another process; clock: time.perf_counter_ns."""
        step = self._step
        if phase is Phase.EVALUATION_STEP:
            step, self._num_evaluated = self._num_evaluated, self._num_evaluated + 1
        elif phase is Phase.EPOCH:
            facts, step = {**(facts or {}), **self._own_work()}, NO_STEP
        elif phase is Phase.LOADER_WORKER:  # by step smdebug would take an early batch for its step
            facts, step = {**(facts or {}), "batch": step}, NO_STEP
        place = _NO_FACTS
        if facts is not None:
            place = len(self._facts)
            self._facts.append(facts)
        self._numbers.extend((_NUMBERS[phase], start_ns, end_ns, step, place))
        if end_ns >= self._flush_at:
            self._flush()

    def steps(self, batches: Iterator[Batch], first: int) -> Iterator[Batch]:
        """The same batches; each is a step, counted from `first`, with the wait for it."""
        before, self._step = self._step, first
        cpu_ns = time.process_time_ns()
        windows = self._windows if self._windows.are_there else None
        try:
            while True:
                if windows is not None:
                    windows.begin_step(self._step)
                start_ns = time.perf_counter_ns()
                try:
                    batch = next(batches)
                except StopIteration:  # what was waited for is the loader's end
                    self._step = before
                    return
                self._begin(start_ns, time.perf_counter_ns())
                try:
                    yield batch
                finally:
                    end_ns = time.perf_counter_ns()
                    self._num_steps += 1
                    if windows is not None:
                        windows.end_step(self._step)
                    self._end(start_ns, end_ns)
                before, self._step = self._step, self._step + 1
        finally:
            self._windows.pause()
            self._cpu_ns += time.process_time_ns() - cpu_ns

    def _own_work(self) -> Mapping[str, Any]:
        """Of the epoch that ends; the CPU time of a whole host is that of other programs, too."""
        work = {"steps": self._num_steps, "steps_cpu_seconds": round(self._cpu_ns / 1e9, 6)}
        self._cpu_ns = self._num_steps = 0
        return work

    def _begin(self, start_ns: int, end_ns: int) -> None:
        """Of a step whose batch has come."""
        place = _NO_FACTS
        if self._is_sparse:
            if self._step % _ONE_IN:
                self._now = self._none
                return
            self._now, place = self._thin, _SPARSE_FACTS
        self._numbers.extend((_DATA_WAIT, start_ns, end_ns, self._step, place))

    def _end(self, start_ns: int, end_ns: int) -> None:
        self._now = self._all
        self._numbers.extend((_STEP, start_ns, end_ns, self._step, _NO_FACTS))
        self._looked_at, self._looked_ns = self._looked_at + 1, self._looked_ns + end_ns - start_ns
        if self._looked_at == _STEPS_LOOKED_AT:
            self._is_sparse = self._looked_ns < _SHORT_STEP_NS * _STEPS_LOOKED_AT
            self._looked_at = self._looked_ns = 0
        if end_ns >= self._flush_at:
            self._flush()

    def close(self) -> None:
        """No more follows. Safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        self._windows.pause()
        self._flush()
        self._contained.run(self._file.close, None)
        self._file.give_up()  # where it was switched off

    def _flush(self) -> None:
        numbers, self._numbers = self._numbers, array("q")
        facts, self._facts = self._facts, []
        self._contained.run(lambda: self._file.write(_spans_of(numbers, facts)), None)
        self._flush_at = time.perf_counter_ns() + _FLUSH_NS


def _spans_of(numbers: "array[int]", facts: list[Mapping[str, Any]]) -> Iterator[Span]:
    fives = iter(numbers)
    for phase, start_ns, end_ns, step, place in zip(*[fives] * 5, strict=True):
        said = None
        if place != _NO_FACTS:
            said = SPARSE if place == _SPARSE_FACTS else facts[place]
        yield _PHASES[phase], start_ns, end_ns, step, said


class _Measured:
    """A span under way."""

    __slots__ = ("_facts", "_phase", "_start_ns", "_timeline")

    def __init__(
        self, timeline: RunTimeline, phase: Phase, facts: Mapping[str, Any] | None
    ) -> None:
        self._timeline, self._phase, self._facts = timeline, phase, facts
        self._start_ns = 0

    def __enter__(self) -> None:
        self._start_ns = time.perf_counter_ns()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timeline.record(self._phase, self._start_ns, time.perf_counter_ns(), self._facts)


class _Part:
    """A part of a step under way: there are thousands of them a second."""

    __slots__ = ("_number", "_place", "_start_ns", "_timeline")

    def __init__(self, timeline: RunTimeline, phase: Phase, place: int) -> None:
        self._timeline, self._number, self._place = timeline, _NUMBERS[phase], place
        self._start_ns = 0

    def __enter__(self) -> None:
        self._start_ns = time.perf_counter_ns()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        timeline, end_ns = self._timeline, time.perf_counter_ns()
        timeline._numbers.extend(
            (self._number, self._start_ns, end_ns, timeline._step, self._place)
        )
