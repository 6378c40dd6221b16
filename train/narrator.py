"""Narrator: what a run says while it trains. Bars for a terminal, lines and files for all."""

import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

from contract.job import TrainingJob
from train.compiler import wants_compiler
from train.data import JobData
from train.loop import Fit
from train.metrics_file import EpochRow, write_metrics
from train.outputs import log_metrics
from train.progress import Progress, epoch_line
from train.start import Start
from train.world import World

log = logging.getLogger(__name__)


class Narrator:
    """One bar, one line and one row of metrics.csv an epoch."""

    def __init__(self, job: TrainingJob, state: Fit, progress: Progress) -> None:
        self._job, self._state, self._progress = job, state, progress
        self._bar: AbstractContextManager[Callable[[int], None]] | None = None
        self._count: Callable[[int], None] = lambda count: None
        # A person at a terminal reads the epoch line; logs get a line a metric for the regexes.
        self._metric_lines = not (progress.is_shown and sys.stdout.isatty())

    def start(self, epoch: int, num_images: int) -> None:
        """An epoch begins."""
        self._bar = self._progress.phase(f"epoch {epoch}/{self._state.values.epochs}", num_images)
        self._count = self._bar.__enter__()

    def images(self, count: int) -> None:
        """Training pictures just done."""
        self._count(count)

    def end(self, row: EpochRow, is_best: bool) -> None:
        """An epoch is over and scored."""
        self.close()
        log.info("%s", epoch_line(row, self._state.values.epochs, best=is_best))
        if self._metric_lines:
            log_metrics(row.metrics)
        write_metrics(self._job.outputs.data_dir, self._state.rows)

    def close(self) -> None:
        """Wipe the bar; safe to call twice."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None


def tell_world(world: World) -> None:
    """Who trains with whom. From then on only the leader tells the story."""
    if world.size == 1:
        return
    each = f" with {world.local_size} processes each" if world.local_size > 1 else ""
    log.info(
        "hosts  %s%s; %s leads, this is rank %d of %d",
        ", ".join(world.hosts),
        each,
        world.hosts[0],
        world.rank,
        world.size,
    )
    if world.rank > 0:
        logging.getLogger("train").setLevel(logging.ERROR)
        for name in ("train.process", "train.rendezvous", "train.contained"):
            logging.getLogger(name).setLevel(logging.INFO)


def tell_data(job: TrainingJob, data: JobData) -> None:
    """What was found in the channels, and how it was read."""
    for note in job.hyperparameters.notes:
        log.info("note   %s", note)
    for name in job.ignored_channels:
        log.info("note   channel %s is not one of ours and is not read", name)
    for note in data.notes:
        log.info("note   %s", note)
    held_out = " (held out)" if data.held_out else ""
    counts = [f"{len(data.train):,} train", f"{len(data.validation):,} validation{held_out}"]
    if data.test is not None:
        counts.append(f"{len(data.test):,} test")
    log.info(
        "data   %s pictures; %d labels, %s to %s",
        ", ".join(counts),
        len(data.labels),
        data.labels.names[0],
        data.labels.names[-1],
    )


def tell_start(start: Start) -> None:
    """Which network learns what, from where, and how."""
    tell_network(start)
    values = start.values
    log.info(
        "plan   %d epochs of batches of %d, %s lr %g, schedule %s, seed %d",
        values.epochs,
        values.batch_size,
        values.optimizer,
        values.lr,
        values.schedule,
        values.seed,
    )


def tell_network(start: Start) -> None:
    """Which network learns what, from where."""
    values, preprocess = start.values, start.preprocess
    learns = {
        "none": "head only; the frozen trunk sees each picture once",
        "last-stage": "head and last stage",
        "all": "all layers",
    }[values.unfreeze]
    log.info(
        "model  %s at %d px, %s; learns: %s",
        values.arch,
        preprocess.crop_px,
        start.origin,
        learns,
    )
    if wants_compiler(values):
        log.info("note   compile: the first step of each size is compiled, a minute or so")
    elif values.compile:
        log.info("note   compile: of no use while the trunk is frozen")
