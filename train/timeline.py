"""RunTimeline: what one process spends its time on, span by span. A Timeline of watch.py.

Times are those of this process: on a GPU a span ends when the work is handed over, not when it is
done, since waiting for it would slow training down.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

from train.batches import Batch
from train.contained import Contained
from train.operator_windows import OperatorWindows
from train.trace_file import NO_STEP, Span, TraceFile
from train.watch import Phase

# Of spans that bear another name than their phase; smdebug's analysis looks for the first.
SPAN_NAMES = {Phase.DATA_WAIT: "DataLoaderIter::GetNext"}

_FLUSH_NS = 1_000_000_000  # what a killed process may lose
# A step with all its spans costs about 10 microseconds, so of steps that are shorter than a
# millisecond only one in so many has spans within. It says so.
_SHORT_STEP_NS = 1_000_000
_ONE_IN = 10
_STEPS_LOOKED_AT = 100  # before it is decided, again and again
_SPARSE: Mapping[str, Any] = {"one_in": _ONE_IN}
_NO_SPAN: AbstractContextManager[None] = nullcontext()
_WITHIN_STEPS = (Phase.COPY, Phase.FORWARD, Phase.BACKWARD, Phase.OPTIMIZER)
_Spans = Mapping[Phase, AbstractContextManager[None]]


class RunTimeline:
    """Keeps spans for a second, then appends them to the file; never ends a job."""

    def __init__(self, file: TraceFile, windows: OperatorWindows) -> None:
        self._file, self._windows = file, windows
        self._contained = Contained("the timeline")
        self._spans: list[Span] = []
        self._flush_at = time.perf_counter_ns() + _FLUSH_NS
        self._is_closed = False
        self._step = NO_STEP  # of training: under way, or the last one
        self._num_evaluated = 0  # batches of evaluations, over all of them
        # Most spans say nothing more; one object a phase will do, as none lies within itself.
        self._all: _Spans = {phase: _Measured(self, phase, None) for phase in Phase}
        thin = {phase: _Measured(self, phase, _SPARSE) for phase in _WITHIN_STEPS}
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
            step = NO_STEP
        elif phase is Phase.LOADER_WORKER:  # by step smdebug would take an early batch for its step
            facts, step = {**(facts or {}), "batch": step}, NO_STEP
        self._spans.append((phase, start_ns, end_ns, step, facts))
        if end_ns >= self._flush_at:
            self._flush()

    def steps(self, batches: Iterator[Batch], first: int) -> Iterator[Batch]:
        """The same batches; each is a step, counted from `first`, with the wait for it."""
        before, self._step = self._step, first
        try:
            while True:
                self._windows.begin_step(self._step)
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
                    self._windows.end_step(self._step)
                    self._end(start_ns, end_ns)
                before, self._step = self._step, self._step + 1
        finally:
            self._windows.pause()

    def _begin(self, start_ns: int, end_ns: int) -> None:
        """Of a step whose batch has come."""
        facts = None
        if self._is_sparse:
            is_one = self._step % _ONE_IN == 0
            facts, self._now = _SPARSE, self._thin if is_one else self._none
            if not is_one:
                return
        self._spans.append((Phase.DATA_WAIT, start_ns, end_ns, self._step, facts))

    def _end(self, start_ns: int, end_ns: int) -> None:
        self._now = self._all
        self._looked_at, self._looked_ns = self._looked_at + 1, self._looked_ns + end_ns - start_ns
        if self._looked_at == _STEPS_LOOKED_AT:
            self._is_sparse = self._looked_ns < _SHORT_STEP_NS * _STEPS_LOOKED_AT
            self._looked_at = self._looked_ns = 0
        self.record(Phase.STEP, start_ns, end_ns, None)

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
        spans, self._spans = self._spans, []
        self._contained.run(lambda: self._file.write(spans), None)
        self._flush_at = time.perf_counter_ns() + _FLUSH_NS


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
