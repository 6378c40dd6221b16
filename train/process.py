"""The story of one training process, top to bottom: read this first."""

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from contract.job import TrainingJob
from contract.opt_ml import write_failure
from train.agent_process import AgentProcess
from train.data import JobData
from train.device import Device, choose_device
from train.holdout import write_holdout
from train.launch import own_device
from train.learner import Judged, Learner
from train.learning import Ready, build_learner, get_ready, judge, train
from train.loop import Fit
from train.membership import Limits, joined
from train.narrator import Narrator, tell_data, tell_start, tell_world
from train.outputs import Finished, log_metrics, write_config, write_outputs
from train.progress import Progress
from train.quantizing import variants_of
from train.start import Start
from train.stop import Stop
from train.watch import Watch
from train.watching import build_watch
from train.world import World, world_of
from train.writable import check_outputs

log = logging.getLogger(__name__)

HOLDOUT_NAME = "validation_holdout.json"


def run_process(
    job: TrainingJob, work_dir: Path, *, bars: bool = True, agent: AgentProcess | None = None
) -> None:
    """Run one process of a job to its end: data, network, training, scores, report, bundle.

    Where a job has several processes, each runs this; the leader tells and writes. `agent`: the
    caller's, who ends it.

    Raises JobError or one of its kind, HostError, or InterruptedJobError when the job was told
    to stop before its first epoch was scored.
    """
    started = time.perf_counter()
    world, stop = world_of(job.cluster), Stop()
    tell_world(world)
    watch = build_watch(job, world)
    limits = limits_of(job, lambda: farewell(watch, agent))
    # From training on to the last line, a signal asks for an early end; before, for none.
    with ExitStack() as signals:
        signals.callback(watch.close)
        with joined(world, stop, limits, partial(prepare, job, world)) as (group, device):
            ready = get_ready(job, work_dir, device, group)
            data, start = ready.data, ready.start
            if group.is_leader:
                tell_data(job, data)
                tell_start(start)
                write_beginning(job, data, start)
            stop.limit(start.values.max_train_seconds)
            progress = Progress(enabled=bars and group.is_leader)
            learner = build_learner(start, data, device, progress, group, watch=watch)
            signals.enter_context(stop.on_signals())
            state = None
            if group.is_leader or learner.trains_together:
                narrate = partial(Narrator, job, progress=progress)
                state = train(ready, learner, stop, narrate, watch)
                learner.finish(state.best_state)
            group.await_leader()
            known = state.best_scores if state is not None else None
            is_hurried = group.share(stop.signalled)
            judged = judge(learner, data, known, is_hurried=is_hurried)
            if state is not None and group.is_leader:
                finished = conclude(
                    ready, learner, state, judged, started=started, is_hurried=is_hurried
                )
        if world.rank == 0:
            tell_result(finished, time.perf_counter() - started)
        else:
            log.info("done   %s has saved the model", world.hosts[0])
        watch.close()  # while a signal still asks for nothing


def prepare(job: TrainingJob, world: World) -> Device:
    """What can be found out before the first expensive step. Raises as its two parts do."""
    check_outputs(job)
    device = own_device(choose_device(job.hyperparameters.values.precision), world)
    log.info("job    %s on %s", job.name, device.why)
    return device


def farewell(watch: Watch, agent: AgentProcess | None) -> None:
    """What a process that must end at once, stuck as it is, still leaves whole."""
    watch.close()
    if agent is not None:
        agent.end()


def limits_of(job: TrainingJob, farewell: Callable[[], None] = lambda: None) -> Limits:
    """How long hosts wait for one another, and what a stuck process leaves: its reason, last."""

    def last_words(reason: str) -> None:
        log.error("failed: %s", reason)
        write_failure(job.outputs.failure_file, reason)

    return Limits(
        rendezvous_seconds=job.hyperparameters.values.rendezvous_seconds,
        last_words=last_words,
        farewell=farewell,
    )


def write_beginning(job: TrainingJob, data: JobData, start: Start) -> None:
    """The files that are known before training: resolved settings, pictures held out."""
    write_config(job, start.values)
    if data.held_out:
        write_holdout(job.outputs.data_dir / HOLDOUT_NAME, data.validation)


def conclude(
    ready: Ready,
    learner: Learner,
    state: Fit,
    judged: tuple[Judged, ...],
    *,
    started: float,
    is_hurried: bool,
) -> Finished:
    """Variants, report and bundle of a network that has learnt. `started`: of perf_counter.

    Raises HyperparameterError: quantize=int8, and it is not possible. HostError: a full disk.
    """
    start, data, device = ready.start, ready.data, ready.device
    variants = variants_of(start, data, learner, judged[0], device=device, is_hurried=is_hurried)
    finished = Finished(
        job=ready.job, start=start, data=data, fit=state, judged=judged, learner=learner,
        variants=variants, device_why=device.why, seconds=time.perf_counter() - started,
    )  # fmt: skip
    write_outputs(finished)
    return finished


def tell_result(finished: Finished, seconds: float) -> None:
    """The last lines: result, then the metrics, test:accuracy last."""
    state = finished.fit
    log.info("done   in %.1f s; kept epoch %d of %d", seconds, state.best_epoch, len(state.rows))
    log_metrics(finished.metrics())
