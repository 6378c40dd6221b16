"""Watch: what looks on while a network learns. Nothing by default, and then it costs nothing.

The loop says what it is about to do; a recorder of tensors and a timeline of spans listen.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from torch import Tensor, nn

from contract.hyperparameters import Hyperparameters
from train.batches import Batch, Made
from train.scoring import Scores


class Phase(StrEnum):
    """What a process spends its time on, in the words of smdebug where it has one."""

    STEP = "Step:ModeKeys.TRAIN"  # from waiting for the batch to the end of the update
    EVALUATION_STEP = "Step:ModeKeys.EVAL"  # one batch of an evaluation
    DATA_WAIT = "DataLoaderIter"
    LOADER_START = "DataLoaderIterInitialize"  # its worker processes, too
    LOADER_WORKER = "DataLoaderWorker"  # a batch, by the process that made it
    COPY = "Copy"  # to the device
    FORWARD = "Forward"
    BACKWARD = "Backward(post-forward)"
    OPTIMIZER = "Optimizer"
    EVALUATE = "Evaluate"  # a whole split
    CHECKPOINT = "Checkpoint"
    FEATURES = "FeaturePass"  # pictures through the frozen trunk
    DECODE = "Decode"  # pictures into memory
    EPOCH = "Epoch"  # with its validation and its checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """A run, before its first step or where it goes on."""

    module: nn.Module  # what learns
    step: int  # the next one, of the whole run
    epoch: int  # it belongs to; from 1
    steps_per_epoch: int
    values: Hyperparameters  # as decided, and what was left open filled in


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """One step, before it begins."""

    module: nn.Module  # what learns
    step: int  # of the whole run, from 0: a batch each, also while gradients are accumulated
    epoch: int  # from 1
    is_update: bool  # the optimizer steps at its end
    loss_scale: Callable[[], float]  # gradients are this much too large: half precision
    our_share: Callable[[], float]  # of the step's weight in the loss, 0 to 1; 1 when alone


class Recorder(Protocol):
    """Saves tensors. All calls come between two steps or within one, in one thread."""

    def begin_run(self, facts: RunFacts) -> None:
        """Before all others."""

    def wants(self, step: int) -> bool:
        """False: `begin_step` would do nothing. Quick: it is asked before every step."""

    def begin_step(self, facts: StepFacts) -> None:
        """Before the forward pass of a training step."""

    def end_backward(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Gradients are there, the weights are still old. `loss`: our share of the step's mean."""

    def evaluation(self, module: nn.Module, epoch: int) -> AbstractContextManager[None]:
        """Meanwhile `module` is run over the validation split, batch by batch."""

    def evaluated(self, scores: Scores, epoch: int) -> None:
        """The split is scored."""

    def metrics(self, metrics: dict[str, float], epoch: int) -> None:
        """An epoch's metrics, by the names of contract.metrics."""

    def close(self) -> None:
        """No more follows. Safe to call twice."""


class Timeline(Protocol):
    """Records spans of time."""

    def span(self, phase: Phase, **facts: Any) -> AbstractContextManager[None]:
        """Lasts as long as the block; `facts` go into the event's arguments."""

    def record(
        self, phase: Phase, start_ns: int, end_ns: int, facts: Mapping[str, Any] | None
    ) -> None:
        """A span that is over, also of another process; clock: time.perf_counter_ns."""

    def steps(self, batches: Iterator[Batch], first: int) -> Iterator[Batch]:
        """The same batches; each is a step, counted from `first`, with the wait for it."""

    def close(self) -> None:
        """No more follows. Safe to call twice."""


class Watch:
    """Passes on what the loop says to those who want to know."""

    _nothing = nullcontext()

    def __init__(self, recorder: Recorder | None = None, timeline: Timeline | None = None) -> None:
        self._recorder, self._timeline = recorder, timeline

    @property
    def is_timed(self) -> bool:
        """True when spans are recorded."""
        return self._timeline is not None

    def span(self, phase: Phase, **facts: Any) -> AbstractContextManager[None]:
        """Time spent in the block."""
        return self._nothing if self._timeline is None else self._timeline.span(phase, **facts)

    def steps(self, batches: Iterator[Batch], first: int) -> Iterator[Batch]:
        """The batches of training steps; `first` is the first one's number in the whole run."""
        return batches if self._timeline is None else self._timeline.steps(batches, first)

    def begin_run(self, facts: RunFacts) -> None:
        """Before the first step, or the first after a resume."""
        if self._recorder is not None:
            self._recorder.begin_run(facts)

    def starting(self, **facts: Any) -> AbstractContextManager[None]:
        """A Loading of train/batches.py."""
        return self.span(Phase.LOADER_START, **facts)

    def fetched(self, made: Made) -> None:
        """A Loading of train/batches.py."""
        if self._timeline is not None:
            facts = {"pid": made.pid, "cpu_us": made.cpu_ns // 1000}
            self._timeline.record(Phase.LOADER_WORKER, made.start_ns, made.end_ns, facts)

    def records(self, step: int) -> bool:
        """Whether somebody wants to hear of this training step."""
        return self._recorder is not None and self._recorder.wants(step)

    def begin_step(self, facts: StepFacts) -> None:
        """Before the forward pass of a step that `records` is true for."""
        if self._recorder is not None:
            self._recorder.begin_step(facts)

    def end_backward(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """After a backward pass, before the update. `loss`: our share of the step's mean."""
        if self._recorder is not None:
            self._recorder.end_backward(loss, logits, targets)

    def evaluation(self, module: nn.Module, epoch: int) -> AbstractContextManager[Any]:
        """While the validation split is scored."""
        if self._recorder is None:
            return self.span(Phase.EVALUATE)
        both = ExitStack()
        both.enter_context(self.span(Phase.EVALUATE))
        both.enter_context(self._recorder.evaluation(module, epoch))
        return both

    def evaluated(self, scores: Scores, epoch: int) -> None:
        """The validation split is scored."""
        if self._recorder is not None:
            self._recorder.evaluated(scores, epoch)

    def metrics(self, metrics: dict[str, float], epoch: int) -> None:
        """An epoch is over."""
        if self._recorder is not None:
            self._recorder.metrics(metrics, epoch)

    def close(self) -> None:
        """No more follows. Safe to call twice."""
        for one in (self._recorder, self._timeline):
            if one is not None:
                one.close()
