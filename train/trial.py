"""Trial: one training job of a study, inside a worker that keeps what all its trials share.

It computes what `python -m train` would with the same hyperparameters and as many CPUs, to the
bit; it only leaves no bundle and no report. Those are made of the best trial's weights, at the end
of the study.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from contract.errors import ChannelError, HostError
from contract.hyperparameters import Hyperparameters
from contract.job import Channel, TrainingJob
from train.channels import read_data
from train.data import JobData
from train.device import choose_device
from train.group import Group
from train.kept import has_kept, read_kept, write_kept
from train.learner import Learner
from train.learning import Ready, best_metrics, build_learner, get_ready, judge, train
from train.loop import Fit
from train.memo import Memo
from train.metrics_file import EpochRow, write_metrics
from train.narrator import Narrator, tell_data, tell_network, tell_start
from train.orders import TrialOrder
from train.process import conclude, tell_result, write_beginning
from train.progress import Progress
from train.stop import Stop

log = logging.getLogger(__name__)

Reporting = Callable[[EpochRow], bool]  # after an epoch: True to end the trial here


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a trial came to."""

    metrics: dict[str, float]  # of the best epoch, and of its weights on test
    rows: tuple[EpochRow, ...]
    is_cut: bool  # ended by whoever was reported to
    is_interrupted: bool = False  # told to stop; it can go on from its checkpoint


class EnoughError(Exception):
    """Whoever hears of the epochs has heard enough."""


class Reporter:
    """Hears of a trial's epochs and passes them on. A Narrating."""

    def __init__(self, state: Fit, begin: Callable[[], None], report: Reporting) -> None:
        self.state, self._begin, self._report = state, begin, report

    def start(self, epoch: int, num_images: int) -> None:  # noqa: ARG002
        """From now on the trial can be stopped between two steps."""
        self._begin()

    def images(self, count: int) -> None:
        """Nobody watches."""

    def end(self, row: EpochRow, is_best: bool) -> None:  # noqa: ARG002
        """Raises EnoughError; the epoch is counted and its weights are kept if they are best."""
        is_last = row.epoch == self.state.values.epochs
        if self._report(row) and not is_last:
            raise EnoughError

    def close(self) -> None:
        """Nobody watches."""


class Until:
    """A Narrator's epochs up to the one that was the trial's last. A Narrating."""

    def __init__(self, narrator: Narrator, last_epoch: int | None) -> None:
        self._narrator, self._last_epoch = narrator, last_epoch
        self.start, self.images, self.close = narrator.start, narrator.images, narrator.close

    def end(self, row: EpochRow, is_best: bool) -> None:
        """Raises EnoughError."""
        self._narrator.end(row, is_best)
        if self._last_epoch is not None and row.epoch >= self._last_epoch:
            raise EnoughError


class Bench:
    """Where a worker runs trials one after another."""

    def __init__(self, channels: dict[str, Channel], work_dir: Path) -> None:
        self._channels, self._work_dir = channels, work_dir
        self._data: dict[tuple[object, ...], JobData] = {}
        self._memo = Memo()
        self._has_told = False
        self._last: tuple[Fit, JobData] | None = None

    def run(
        self, order: TrialOrder, stop: Stop, *, begin: Callable[[], None], report: Reporting
    ) -> Outcome:
        """`begin` is called when `stop` is looked at from now on, `report` after each epoch.

        Raises JobError or one of its kind, HostError, or InterruptedJobError: told to stop before
        an epoch was scored.
        """
        self._last = None
        job = order.job(self._channels, self._work_dir)
        ready, learner = self._prepare(job, order)
        if order.scores_test and ready.data.test is None:
            raise ChannelError("the objective is a metric of test: give a channel test")
        stop.limit(ready.start.values.max_train_seconds)
        reporters: list[Reporter] = []

        def listen(state: Fit) -> Reporter:
            reporters.append(Reporter(state, begin, report))
            return reporters[0]

        is_cut = False
        try:
            state = train(ready, learner, stop, listen)
        except EnoughError:
            state, is_cut = reporters[0].state, True
        self._last = state, ready.data
        if stop.signalled and not is_cut and state.epoch <= state.values.epochs:
            metrics, rows = best_metrics(state, []), tuple(state.rows)
            return Outcome(metrics=metrics, rows=rows, is_cut=False, is_interrupted=True)
        learner.finish(state.best_state)
        scored = [learner.judge(ready.data.test)] if order.scores_test and ready.data.test else []
        return Outcome(metrics=best_metrics(state, scored), rows=tuple(state.rows), is_cut=is_cut)

    def prepare(self, order: TrialOrder) -> None:
        """Leave in the cache what this and other workers need for their trials. Raises as `run`."""
        if not self._memo.cache.is_on:
            return
        ready, learner = self._prepare(order.job(self._channels, self._work_dir), order)
        if order.scores_test and ready.data.test is not None:
            learner.judge(ready.data.test)

    def keep(self, folder: Path) -> None:
        """Leave the weights of the trial that has just ended in `folder`. Raises HostError."""
        if self._last is None:
            raise HostError("the trial left no weights")
        write_kept(folder, *self._last)

    def finish(self, order: TrialOrder, stop: Stop) -> None:
        """Bundle and report of a trial, from its kept weights; without them it is trained again.

        Raises as `run_process` does.
        """
        started = time.perf_counter()
        is_kept = has_kept(Path(order.kept_dir), order.last_epoch)
        if is_kept:  # they say what batch-size auto came to
            order = replace(order, checkpoint_dir=order.kept_dir)
        job = order.job(self._channels, self._work_dir)
        ready, learner = self._prepare(job, replace(order, tells=False))
        if order.tells:
            tell_data(job, ready.data)
        tell_start(ready.start)
        write_beginning(job, ready.data, ready.start)
        state = Fit(task=learner.task, values=learner.values, device=ready.device)
        if is_kept and read_kept(Path(order.kept_dir), state, ready.data):
            write_metrics(job.outputs.data_dir, state.rows)
        else:
            log.info("note   no weights of trial %d are here: it is trained again", order.number)
            state = self._train_again(ready, learner, order, stop)
            write_kept(Path(order.kept_dir), state, ready.data)
        learner.finish(state.best_state)
        judged = judge(learner, ready.data, state.best_scores, is_hurried=order.is_hurried)
        finished = conclude(
            ready, learner, state, judged, started=started, is_hurried=order.is_hurried
        )
        tell_result(finished, time.perf_counter() - started)

    def _train_again(self, ready: Ready, learner: Learner, order: TrialOrder, stop: Stop) -> Fit:
        """As far as the trial came, not to the end of its schedule."""
        states: list[Fit] = []

        def narrate(state: Fit) -> Until:
            states.append(state)
            narrator = Narrator(ready.job, state, Progress(enabled=False))
            return Until(narrator, order.last_epoch)

        with contextlib.suppress(EnoughError):
            train(ready, learner, stop, narrate)
        return states[0]

    def _prepare(self, job: TrainingJob, order: TrialOrder) -> tuple[Ready, Learner]:
        """Everything before the first step, as far as it is not known from the last trial."""
        device = choose_device(job.hyperparameters.values.precision)
        data = self._read(job)
        ready = get_ready(job, self._work_dir, device, Group(), data=data, memo=self._memo)
        if order.tells and not self._has_told:
            tell_data(job, ready.data)
            tell_network(ready.start)
            self._has_told = True
        learner = build_learner(
            ready.start, ready.data, device, Progress(enabled=False), ready.group, memo=self._memo
        )
        return ready, learner

    def _read(self, job: TrainingJob) -> JobData:
        key = _key_of(job.hyperparameters.values)
        if key not in self._data:
            # Archives are unpacked below the folder, and not twice into the same.
            self._data[key] = read_data(job, self._work_dir / f"data-{len(self._data)}")
        return self._data[key]


def _key_of(values: Hyperparameters) -> tuple[object, ...]:
    """What decides which pictures are trained on and which are held out."""
    return values.num_classes, values.validation_split, values.seed
