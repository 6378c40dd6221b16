"""Watching: who looks on while a job learns, by what it was told. Mostly nobody."""

import time

from contract.hook_config import HookConfig
from contract.job import TrainingJob
from contract.opt_ml import DEFAULT_BASE, OptMl
from train.watch import Recorder, Timeline, Watch
from train.world import World


def build_watch(job: TrainingJob, world: World) -> Watch:
    """Its parts are imported and made only where the job asks for them. At the job's beginning.

    Close it, however the job ends.
    """
    return Watch(recorder=_recorder(job, world), timeline=_timeline(job, world))


def _recorder(job: TrainingJob, world: World) -> Recorder | None:
    folder = job.hook and (job.hook.local_path or job.outputs.tensors_dir)
    if job.hook is None or folder is None:
        return None
    # A head is trained by the leader alone.
    all_save = _all_workers(job.hook) and job.hyperparameters.values.unfreeze != "none"
    if world.rank != 0 and not all_save:
        return None
    from train.recorded_run import Saving
    from train.tensor_folder import TensorFolder
    from train.tensor_recorder import TensorRecorder

    num_workers, is_first = world.size if all_save else 1, world.local_rank == 0
    place = TensorFolder(folder, rank=world.rank, num_workers=num_workers, is_first=is_first)
    return TensorRecorder(
        Saving(
            config=job.hook,
            folder=place,
            num_workers=num_workers,
            started=time.perf_counter(),
            writes_end=is_first and not _is_in_sagemaker(job),
        )
    )


def _timeline(job: TrainingJob, world: World) -> Timeline | None:
    if job.profiler is None:
        return None
    from train.profiled import build_timeline

    return build_timeline(job, world)


def _all_workers(hook: HookConfig) -> bool:
    return hook.parameters.get("include_workers", "one").strip().lower() == "all"


def _is_in_sagemaker(job: TrainingJob) -> bool:
    """There the service says when a job has ended. Our runners name jobs, too, but move them."""
    is_named = job.name != "local"
    return is_named and job.outputs.model_dir == OptMl(DEFAULT_BASE).model_dir
