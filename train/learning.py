"""Learning: what a job of its own and a trial of a study have in common."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from contract.errors import InterruptedJobError
from contract.job import TrainingJob
from train.batch_size import decide_batch_size
from train.channels import read_data
from train.compiler import check_compiler, wants_compiler
from train.data import JobData
from train.device import Device
from train.group import Group
from train.head_learner import HeadLearner
from train.learner import Judged, Learner
from train.loop import Fit, Progressing, fit
from train.memo import Memo
from train.metrics_file import EpochRow
from train.network_learner import NetworkLearner
from train.progress import Progress
from train.resume import Checkpoints
from train.scoring import Scores
from train.start import Start, start_network
from train.stop import Stop
from train.watch import Watch


class Narrating(Protocol):
    """Who hears of a run while it learns."""

    def start(self, epoch: int, num_images: int) -> None:
        """An epoch begins."""
        ...

    def images(self, count: int) -> None:
        """Training pictures just done."""
        ...

    def end(self, row: EpochRow, is_best: bool) -> None:
        """An epoch is over and scored."""
        ...

    def close(self) -> None:
        """No more epochs follow."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A job whose pictures and network are known; nothing is learnt yet."""

    job: TrainingJob
    data: JobData
    start: Start
    device: Device
    group: Group


def get_ready(
    job: TrainingJob,
    work_dir: Path,
    device: Device,
    group: Group,
    *,
    data: JobData | None = None,
    memo: Memo | None = None,
) -> Ready:
    """Read the data, unless it is known, and build the network.

    Raises as `check_compiler`, `read_data`, `start_network` and `decide_batch_size` do.
    """
    if wants_compiler(job.hyperparameters.values):
        check_compiler(device, group)
    data = data or read_data(job, work_dir, group)
    start = start_network(job, data.labels, work_dir, memo)
    start = decide_batch_size(
        start,
        data,
        device,
        group,
        job.outputs.checkpoint_dir,
        cache=memo.cache if memo else None,
    )
    return Ready(job=job, data=data, start=start, device=device, group=group)


def build_learner(
    start: Start,
    data: JobData,
    device: Device,
    progress: Progress,
    group: Group | None = None,
    *,
    memo: Memo | None = None,
    watch: Watch | None = None,
) -> Learner:
    """Features once when the trunk is frozen; pictures every epoch otherwise.

    `memo` keeps what the next learner of this process may use again.
    """
    kind = HeadLearner if start.values.unfreeze == "none" else NetworkLearner
    return kind(start, data, device, progress, group, memo=memo, watch=watch)


def train(
    ready: Ready,
    learner: Learner,
    stop: Stop,
    narrator_of: Callable[[Fit], Narrating],
    watch: Watch | None = None,
) -> Fit:
    """Fit, from a checkpoint when there is one. Raises InterruptedJobError: nothing to keep."""
    group = learner.task.group
    state = Fit(
        task=learner.task, values=learner.values, device=ready.device, watch=watch or Watch()
    )
    folder = ready.job.outputs.checkpoint_dir
    checkpoints = Checkpoints(folder, learner.values, ready.data, group)
    checkpoints.resume(state)
    narrator = narrator_of(state)
    outside = Progressing(
        on_epoch_start=narrator.start,
        on_images=narrator.images,
        on_epoch_end=narrator.end,
        save=checkpoints.save,
    )
    try:
        fit(state, stop, outside if group.is_leader else Progressing())
    finally:
        narrator.close()
    if state.best_epoch == 0:
        raise InterruptedJobError("stopped before the first epoch was scored: no model to keep")
    return state


def judge(
    learner: Learner, data: JobData, known: Scores | None, *, is_hurried: bool
) -> tuple[Judged, ...]:
    """Score the best weights on validation, and on test unless the job was told to stop.

    `known`: what the best epoch scored on validation; after a resume nobody remembers.
    """
    judged = [learner.judge(data.validation, known)]
    if data.test is not None and not is_hurried:
        judged.append(learner.judge(data.test))
    return tuple(judged)


def best_metrics(state: Fit, judged: Iterable[Judged]) -> dict[str, float]:
    """The best epoch's metrics and, where test was judged, its scores."""
    best = dict(state.rows[state.best_epoch - 1].metrics)
    for one in judged:
        if one.split == "test":
            best |= {"test:loss": one.scores.loss, "test:accuracy": one.scores.accuracy}
    return best
