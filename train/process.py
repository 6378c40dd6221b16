"""The story of one training process, top to bottom: read this first."""

import logging
import shutil
import time
from pathlib import Path

from contract.errors import HostError, InterruptedJobError, JobError
from contract.job import TrainingJob
from train.channels import read_data
from train.data import JobData
from train.device import Device, choose_device
from train.head_learner import HeadLearner
from train.holdout import write_holdout
from train.learner import Judged, Learner
from train.loop import Fit, Progressing, fit
from train.narrator import Narrator, tell_data, tell_start
from train.network_learner import NetworkLearner
from train.outputs import Finished, log_metrics, write_config, write_outputs
from train.progress import Progress
from train.resume import Checkpoints
from train.start import Start, start_network
from train.stop import Stop

log = logging.getLogger(__name__)

HOLDOUT_NAME = "validation_holdout.json"


def run_process(job: TrainingJob, work_dir: Path, *, bars: bool = True) -> None:
    """Run one job to its end: data, network, training, scores, report, bundle.

    Raises JobError or one of its kind, HostError, or InterruptedJobError when the job was told
    to stop before its first epoch was scored.
    """
    started = time.perf_counter()
    check_outputs(job)
    check_hosts(job)
    device = choose_device(job.hyperparameters.values.precision)
    log.info("job    %s on %s", job.name, device.why)
    data = read_data(job, work_dir)
    tell_data(job, data)
    start = start_network(job, data.labels, work_dir)
    tell_start(start)
    write_config(job, start.values)
    if data.held_out:
        write_holdout(job.outputs.data_dir / HOLDOUT_NAME, data.validation)

    stop, progress = Stop(start.values.max_train_seconds), Progress(enabled=bars)
    learner = build_learner(start, data, device, progress)
    with stop.on_signals():
        state = train(job, learner, data, device, stop=stop, progress=progress)
        network = learner.finish(state.best_state)
        finished = Finished(
            job=job,
            start=start,
            data=data,
            fit=state,
            judged=judge(learner, data, is_hurried=stop.signalled),
            unreadable=tuple(learner.unreadable),
            device_why=device.why,
            seconds=time.perf_counter() - started,
        )
        write_outputs(finished, network)
    tell_result(finished)


def check_outputs(job: TrainingJob) -> None:
    """Find out before the first expensive step that results can be written. Raises HostError."""
    for folder in (job.outputs.model_dir, job.outputs.data_dir, job.outputs.checkpoint_dir):
        if folder is None:
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".kennel-write-test"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise HostError(
                f"{folder} is not writable ({error.strerror}): results would be lost"
            ) from error
        for leftover in folder.glob(".*-????????"):  # staging folders of a process that was killed
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)


def check_hosts(job: TrainingJob) -> None:
    """Refuse to train the same model once on every host. Raises JobError."""
    hosts = job.cluster.hosts
    if len(hosts) > 1:
        raise JobError(
            f"the job has {len(hosts)} hosts ({', '.join(sorted(hosts))}), and this version trains "
            "on one: set the instance count to 1, or send a script of your own"
        )


def build_learner(start: Start, data: JobData, device: Device, progress: Progress) -> Learner:
    """Features once when the trunk is frozen; pictures every epoch otherwise."""
    if start.values.unfreeze == "none":
        return HeadLearner(start, data, device, progress)
    return NetworkLearner(start, data, device, progress)


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
    state = Fit(task=learner.task, values=values, device=device)
    checkpoints = Checkpoints(job.outputs.checkpoint_dir, values, data)
    checkpoints.resume(state)
    narrator = Narrator(job, state, progress)
    try:
        fit(
            state,
            stop,
            Progressing(
                on_epoch_start=narrator.start,
                on_images=narrator.images,
                on_epoch_end=narrator.end,
                save=checkpoints.save,
            ),
        )
    finally:
        narrator.close()
    if state.best_epoch == 0:
        raise InterruptedJobError("stopped before the first epoch was scored: no model to keep")
    return state


def judge(learner: Learner, data: JobData, *, is_hurried: bool) -> tuple[Judged, ...]:
    """Score the best weights on validation, and on test unless the job was told to stop."""
    splits = [data.validation]
    if data.test is not None and not is_hurried:
        splits.append(data.test)
    return tuple(learner.judge(split) for split in splits)


def tell_result(finished: Finished) -> None:
    """The last lines: result, then the metrics, test:accuracy last."""
    state = finished.fit
    log.info(
        "done   in %.1f s; kept epoch %d of %d", finished.seconds, state.best_epoch, len(state.rows)
    )
    log_metrics(finished.metrics())
