"""Tuner: a job that is a study. Its storage, its workers, its master, and the end of it all.

Nothing here needs torch: the workers load it. Several such jobs may share one study.
"""

import os
import shutil
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from contract.channel_digests import digests_of
from contract.errors import HyperparameterError, JobError
from contract.job import TrainingJob
from contract.strict import unquote
from contract.study import STORAGE_NAME
from contract.tuning import STORAGE_VARIABLE, TUNING_KEY, TuningSpec
from train.crew import Crew
from train.lock import locked
from train.orders import channels_to_json
from train.stop import Stop
from train.writable import check_outputs

_PROCESSES = "processes-per-host"


def run_study(
    job: TrainingJob, work_dir: Path, environment: Mapping[str, str] = os.environ
) -> None:
    """Run the study that a job describes to its end; the best trial's bundle is the job's.

    Told to stop, it saves itself: the next start of the same job continues.

    Raises:
        JobError: the study is described wrongly; ChannelError and DataError: its data.
        KennelError: no trial succeeded; with the first one's reason.
        HostError: a full disk, a database that does not work, or another master in our folder.
        InterruptedJobError: told to stop before a trial was completed.
    """
    spec = read_spec(job)
    shared_url = environment.get(STORAGE_VARIABLE, "")
    if len(job.cluster.hosts) > 1 and not shared_url:
        raise JobError(
            f"a study on {len(job.cluster.hosts)} hosts needs a database that they share: set "
            f"{STORAGE_VARIABLE}, for example to postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
        )
    with locked(job):
        _run(job, spec, shared_url, work_dir)


def _run(job: TrainingJob, spec: TuningSpec, shared_url: str, work_dir: Path) -> None:
    check_outputs(job)
    hello = {"channels": channels_to_json(job.channels)}
    crew = Crew(min(spec.max_parallel_jobs, spec.num_jobs), hello, work_dir)
    stop = Stop()
    with stop.on_signals():
        try:
            crew.fill(crew.size)  # they load torch, and we optuna
            from train.master import Master
            from train.parents import read_parents
            from train.storage import Place
            from train.study import OpenStudy

            parents = read_parents(spec, job.outputs.checkpoint_dir)
            if shared_url:
                study = OpenStudy(spec, Place(url=shared_url, is_shared=True))
            else:
                study = OpenStudy(spec, Place.of_file(take_up(job, work_dir)))
            with closing(study):
                study.begin(parents, digests_of(job.channels))
                Master(job, study, crew, stop, work_dir).run()
        finally:
            crew.end()


def read_spec(job: TrainingJob) -> TuningSpec:
    """The study that the job's hyperparameters hold; the others are its static ones.

    Raises SpecError or HyperparameterError.
    """
    parsed = job.hyperparameters
    every = parsed.values.to_strings()
    static = {name: every[name] for name in sorted(parsed.given)}
    spec = TuningSpec.from_hyperparameter(unquote(parsed.reserved[TUNING_KEY]), static)
    given = "a range" if _PROCESSES in spec.ranges else parsed.values.processes_per_host
    if given not in (0, 1):
        raise HyperparameterError(
            _PROCESSES,
            given,
            "0 or 1 in a study: its trials run side by side instead (max_parallel_jobs)",
        )
    return spec


def take_up(job: TrainingJob, work_dir: Path) -> Path:
    """The file of a study that only this job uses, as its last checkpoint left it.

    It is not used where it is kept: SageMaker uploads checkpoints while they are written.
    """
    path = work_dir / STORAGE_NAME
    folder = job.outputs.checkpoint_dir
    if folder is not None and (folder / STORAGE_NAME).is_file():
        shutil.copyfile(folder / STORAGE_NAME, path)
    return path
