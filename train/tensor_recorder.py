"""TensorRecorder: what a network is made of while it learns, saved as smdebug's readers want it.

A Recorder of watch.py. It never ends a job: its first error is one line in the log and a file among
the tensors, and from then on it does nothing.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from torch import Tensor, nn

from contract.errors import KennelError
from contract.files import cannot_write
from train.recorded_run import EVAL, TRAIN, RecordedRun, Saving
from train.scoring import Scores
from train.watch import RunFacts, StepFacts

log = logging.getLogger(__name__)


class TensorRecorder:
    """Steps of training, and each evaluation as one step of its own."""

    def __init__(self, saving: Saving) -> None:
        self._saving, self._folder = saving, saving.folder
        self._run: RecordedRun | None = None
        self._is_off = self._has_begun = self._is_closed = False
        self._seconds = 0.0  # that the step under way took of ours

    def begin_run(self, facts: RunFacts) -> None:
        """Find out what is saved and when; remove what this run has not saved."""
        self._has_begun = True
        with self._contained():
            self._run = RecordedRun(self._saving, facts, self._save)

    def wants(self, step: int) -> bool:
        """False at all steps that are not saved."""
        return self._run is not None and not self._is_off and self._run.wants(step)

    def begin_step(self, facts: StepFacts) -> None:
        """The weights, as they are before the update."""
        run = self._run
        if run is None or self._is_off:
            return
        self._seconds = 0.0
        with self._contained():
            if run.is_due(TRAIN, facts.step):
                run.begin_step(facts)

    def end_backward(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Everything else; the step's files appear."""
        run = self._run
        if run is None or not run.is_open:
            return
        with self._contained():
            run.end_backward(loss, logits, targets)
        run.account(TRAIN, self._seconds)

    @contextmanager
    def evaluation(self, module: nn.Module, epoch: int) -> Iterator[None]:
        """The weights that are judged, and the first batch on its way through them."""
        run = self._run
        if run is None or self._is_off:
            yield
            return
        self._seconds = 0.0
        with self._contained():
            if run.is_due(EVAL, epoch - 1):
                run.begin_evaluation(module, epoch)
        try:
            yield
        finally:
            run.taps.remove()

    def evaluated(self, scores: Scores, epoch: int) -> None:  # noqa: ARG002
        """The exact loss of the split."""
        run = self._run
        if run is not None and run.is_open:
            with self._contained():
                run.evaluated(scores)

    def metrics(self, metrics: dict[str, float], epoch: int) -> None:  # noqa: ARG002
        """They belong to the evaluation, whose files appear."""
        run = self._run
        if run is None or not run.is_open:
            return
        with self._contained():
            for name, value in metrics.items():
                run.hook.save_scalar(name, value)
            run.finish(EVAL)
        run.account(EVAL, self._seconds)

    def close(self) -> None:
        """The names of all that was saved, and the mark that no more follows."""
        if self._is_closed or not self._has_begun:
            return
        self._is_closed = True
        if self._run is not None and not self._is_off:
            with self._contained():
                self._run.abandon()
                self._run.hook.export()
        if self._saving.writes_end:
            with suppress(OSError):
                self._folder.end()

    def _save(self, name: str, tensor: Tensor) -> None:
        """From within a forward pass, which must go on whatever happens here."""
        if self._run is not None and not self._is_off:
            with self._contained():
                self._run.hook.save(name, tensor)

    @contextmanager
    def _contained(self) -> Iterator[None]:
        """KennelError passes: signals and lost hosts reach the job through such, anywhere."""
        started = time.perf_counter()
        try:
            yield
        except KennelError:
            raise
        except Exception as error:
            self._give_up(error)
        finally:
            self._seconds += time.perf_counter() - started

    def _give_up(self, error: Exception) -> None:
        self._is_off = True
        reason = _reason_of(error, self._folder.path)  # before what is half done makes room again
        if self._run is not None:
            self._run.abandon()
        log.error("tensors: switched off, training goes on: %s", reason, exc_info=error)
        with suppress(OSError):
            self._folder.fail(reason)


def _reason_of(error: Exception, folder: Path) -> str:
    """One line; what to do about it where that can be known."""
    if isinstance(error, OSError):
        return str(cannot_write(Path(error.filename or folder), error))
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
