"""Ledger: a study's state on the disk of this host, so that nothing is lost at any moment."""

import os
import shutil
import time
from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import Path

from contract.job import TrainingJob
from contract.metrics import METRIC_BY_NAME
from contract.study import STORAGE_NAME, Study, StudyStatus, Trial
from train.completion import best_of
from train.record import Record
from train.storage import copy_file
from train.study import OpenStudy
from train.study_files import StudyFiles

Running = Mapping[int, Record]  # trials under way on this host


class Ledger:
    """study.json and trials.csv, the copy of the storage, and the weights of the best trial."""

    def __init__(self, job: TrainingJob, study: OpenStudy, work_dir: Path) -> None:
        self._study, self._work_dir = study, work_dir
        self._model_dir, self._data_dir = job.outputs.model_dir, job.outputs.data_dir
        self._checkpoint_dir = job.outputs.checkpoint_dir
        self._files = StudyFiles(job.outputs.data_dir)
        self._last: Study | None = None
        self._importances: Mapping[str, float] | None = None
        self._before, self._began = study.seconds(), time.monotonic()

    @property
    def seconds(self) -> float:
        """Of this session and those before it."""
        return self._before + time.monotonic() - self._began

    def kept(self, number: int) -> Path:
        """The folder for a trial's best weights."""
        return (self._checkpoint_dir or self._work_dir) / "best" / f"{number:04}"

    def checkpoints(self, number: int) -> Path | None:
        """The folder from which an interrupted trial continues; None: it begins again."""
        return self._checkpoint_dir / "trials" / f"{number:04}" if self._checkpoint_dir else None

    def settle(self, number: int, running: Running) -> tuple[Trial, ...]:
        """A trial has ended: all of them as they are now, saved; what only it needed is gone.

        Raises HostError on a full disk.
        """
        self._study.set_seconds(self.seconds)
        trials = self._study.trials()
        self.forget(number)
        best = best_of(self._study.spec, trials)
        if best is not None and self.kept(best.number).is_dir():
            self._tidy({best.number, *running})
        self.save()
        self._write(trials, running)
        return trials

    def show(self, running: Running) -> None:
        """How far trials are, for whoever looks; not more often than once a second."""
        if self._files.is_due:
            self._write(self._study.trials(), running)

    def save(self) -> None:
        """The storage as it is now, where the next start of the job finds it."""
        if self._checkpoint_dir is not None and not self._study.place.is_shared:
            copy_file(self._work_dir / STORAGE_NAME, self._checkpoint_dir / STORAGE_NAME)

    def _write(self, trials: tuple[Trial, ...], running: Running) -> None:
        trials = tuple(_as_far(one, running.get(one.number)) for one in trials)
        self._files.write(self._record(trials, "InProgress"), must=False)

    def _tidy(self, numbers: Set[int]) -> None:
        """Only weights that may yet be of use stay."""
        names = {self.kept(number).name for number in numbers}
        for folder in self.kept(0).parent.iterdir():
            if folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)

    def forget(self, number: int) -> None:
        """Drop what only a trial that goes on would need."""
        if (folder := self.checkpoints(number)) is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def prepare(self) -> None:
        """What of the last page takes long and needs no bundle. Raises HostError on a full disk."""
        self._importances = self._study.importances()
        self._files.write(self._record(self._study.trials(), "InProgress"), must=True)
        self._files.prepare()

    def publish(self, status: StudyStatus, reason: str | None, *, has_bundle: bool) -> None:
        """The study as it ends, with its page. Raises HostError on a full disk."""
        if self._importances is None:
            self._importances = self._study.importances()
        self._last = replace(
            self._record(self._study.trials(), status),
            importances=self._importances,
            bundle=self._bundle() if has_bundle else None,
            reason=reason,
        )
        self._files.write(self._last, must=True)
        self._files.draw(self._last)

    def close(self) -> Study:
        """What was published last, with the time until now. Raises HostError on a full disk."""
        assert self._last is not None
        self._study.set_seconds(self.seconds)
        self.save()
        study = replace(self._last, seconds=self.seconds)
        self._files.write(study, must=True)
        return study

    def _record(self, trials: tuple[Trial, ...], status: StudyStatus) -> Study:
        best = best_of(self._study.spec, trials)
        return Study(
            spec=self._study.spec,
            trials=trials,
            best=best.number if best else None,
            status=status,
            seconds=self.seconds,
            warm_trials=self._study.num_warm(),
            pictures=self._study.pictures,
        )

    def _bundle(self) -> str:
        """Relative to the folder above both; that is /opt/ml in SageMaker."""
        base = os.path.commonpath([self._model_dir.absolute(), self._data_dir.absolute()])
        return self._model_dir.absolute().relative_to(base).as_posix()


def _as_far(trial: Trial, record: Record | None) -> Trial:
    """A running trial with the epochs that this host has heard of."""
    return replace(trial, curves=tuple(record.curves)) if record else trial


def last_metrics(record: Record) -> dict[str, float]:
    """What a trial had reached when it was stopped."""
    last = record.curves[-1] if record.curves else {}
    return {name: value for name, value in last.items() if name in METRIC_BY_NAME}
