"""The story of one training process, top to bottom: read this first."""

import logging
import os
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from contract.errors import InterruptedJobError
from contract.files import cannot_write, remove_leftovers
from contract.job import TrainingJob
from contract.opt_ml import write_failure
from train.channels import read_data
from train.data import JobData
from train.device import Device, choose_device
from train.group import Group
from train.head_learner import HeadLearner
from train.holdout import write_holdout
from train.launch import own_device
from train.learner import Judged, Learner
from train.loop import Fit, Progressing, fit
from train.membership import Limits, joined
from train.narrator import Narrator, tell_data, tell_start, tell_world
from train.network_learner import NetworkLearner
from train.outputs import Finished, log_metrics, write_config, write_outputs
from train.progress import Progress
from train.quantizing import variants_of
from train.resume import Checkpoints
from train.scoring import Scores
from train.start import Start, start_network
from train.stop import Stop
from train.world import World, world_of

log = logging.getLogger(__name__)

HOLDOUT_NAME = "validation_holdout.json"


def run_process(job: TrainingJob, work_dir: Path, *, bars: bool = True) -> None:
    """Run one process of a job to its end: data, network, training, scores, report, bundle.

    Where a job has several processes, each runs this; the leader tells and writes.

    Raises JobError or one of its kind, HostError, or InterruptedJobError when the job was told
    to stop before its first epoch was scored.
    """
    started = time.perf_counter()
    world, stop = world_of(job.cluster), Stop()
    tell_world(world)
    # From training on to the last line, a signal asks for an early end; before, for none.
    with ExitStack() as signals:
        with joined(world, stop, limits_of(job), partial(prepare, job, world)) as (group, device):
            data = read_data(job, work_dir, group)
            start = start_network(job, data.labels, work_dir)
            if group.is_leader:
                tell_data(job, data)
                tell_start(start)
                write_beginning(job, data, start)
            stop.limit(start.values.max_train_seconds)
            progress = Progress(enabled=bars and group.is_leader)
            learner = build_learner(start, data, device, progress, group)
            signals.enter_context(stop.on_signals())
            state = None
            if group.is_leader or learner.trains_together:
                state = train(job, learner, data, device, stop=stop, progress=progress)
                learner.finish(state.best_state)
            group.await_leader()
            known = state.best_scores if state is not None else None
            is_hurried = group.share(stop.signalled)
            judged = judge(learner, data, known, is_hurried=is_hurried)
            if state is not None and group.is_leader:
                variants = variants_of(
                    start, data, learner, judged[0], device=device, is_hurried=is_hurried
                )
                finished = Finished(
                    job=job, start=start, data=data, fit=state, judged=judged, learner=learner,
                    variants=variants, device_why=device.why,
                    seconds=time.perf_counter() - started,
                )  # fmt: skip
                write_outputs(finished)
        if world.rank == 0:
            tell_result(finished, time.perf_counter() - started)
        else:
            log.info("done   %s has saved the model", world.hosts[0])


def prepare(job: TrainingJob, world: World) -> Device:
    """What can be found out before the first expensive step. Raises as its two parts do."""
    check_outputs(job)
    device = own_device(choose_device(job.hyperparameters.values.precision), world)
    log.info("job    %s on %s", job.name, device.why)
    return device


def limits_of(job: TrainingJob) -> Limits:
    """How long hosts wait for one another, and where a stuck process leaves its reason."""

    def last_words(reason: str) -> None:
        log.error("failed: %s", reason)
        write_failure(job.outputs.failure_file, reason)

    return Limits(
        rendezvous_seconds=job.hyperparameters.values.rendezvous_seconds, last_words=last_words
    )


def check_outputs(job: TrainingJob) -> None:
    """Find out before the first expensive step that results can be written. Raises HostError."""
    for folder in (job.outputs.model_dir, job.outputs.data_dir, job.outputs.checkpoint_dir):
        if folder is None:
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Several hosts may share the folder: SageMaker's Local Mode does so.
            handle, probe = tempfile.mkstemp(prefix=".kennel-write-test-", dir=folder)
            os.close(handle)
            os.unlink(probe)
        except OSError as error:
            raise cannot_write(folder, error) from error
        if job.cluster.rank == 0:  # the folder may be shared, and the others may be late
            remove_leftovers(folder)


def write_beginning(job: TrainingJob, data: JobData, start: Start) -> None:
    """The files that are known before training: resolved settings, pictures held out."""
    write_config(job, start.values)
    if data.held_out:
        write_holdout(job.outputs.data_dir / HOLDOUT_NAME, data.validation)


def build_learner(
    start: Start, data: JobData, device: Device, progress: Progress, group: Group | None = None
) -> Learner:
    """Features once when the trunk is frozen; pictures every epoch otherwise."""
    kind = HeadLearner if start.values.unfreeze == "none" else NetworkLearner
    return kind(start, data, device, progress, group)


def train(
    job: TrainingJob,
    learner: Learner,
    data: JobData,
    device: Device,
    *,
    stop: Stop,
    progress: Progress,
) -> Fit:
    """Fit, from a checkpoint when there is one. Raises InterruptedJobError: nothing to keep."""
    values = learner.values
    group = learner.task.group
    state = Fit(task=learner.task, values=values, device=device)
    checkpoints = Checkpoints(job.outputs.checkpoint_dir, values, data, group)
    checkpoints.resume(state)
    narrator = Narrator(job, state, progress)
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


def tell_result(finished: Finished, seconds: float) -> None:
    """The last lines: result, then the metrics, test:accuracy last."""
    state = finished.fit
    log.info("done   in %.1f s; kept epoch %d of %d", seconds, state.best_epoch, len(state.rows))
    log_metrics(finished.metrics())
