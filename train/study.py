"""OpenStudy: a study in optuna's storage. Whoever shares the storage shares its trials.

A trial that was interrupted goes back to the queue with its number and its hyperparameters. So
numbers have no gaps, and those up to the study's number of jobs are each run once.
"""

import json
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import fail_stale_trials
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from contract.errors import SpecError
from contract.setting import Value
from contract.study import Trial, TrialStatus
from contract.tuning import TuningSpec
from train.record import Record
from train.sampler import (
    WARM,
    SeededSampler,
    distributions,
    from_value,
    index_of,
    parameter_of,
    pruner_of,
    to_value,
)
from train.storage import Place, connect, database

_READY, _IDENTITY, _SECONDS, _RECORD = "ready", "identity", "seconds", "record"
_CREATION_SECONDS = 60.0  # in which another host finishes what it has begun
_POLL_SECONDS = 0.2
_ORPHAN_SECONDS = 600.0  # taken by a host that died before its first heartbeat
_FEWEST_FOR_IMPORTANCES = 4
_STATUSES: Mapping[TrialState, TrialStatus] = {
    TrialState.COMPLETE: "Completed",
    TrialState.PRUNED: "Stopped",
    TrialState.FAIL: "Failed",
    TrialState.RUNNING: "InProgress",
    TrialState.WAITING: "InProgress",
}
_STATES = {"Stopped": TrialState.PRUNED, "Failed": TrialState.FAIL}
LOST = "its host has not been heard of since: it was switched off, or lost its network"
INTERRUPTED = "interrupted; the next start of the study continues it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A trial that is ours to run."""

    number: int  # from 1, without those of parents
    values: Mapping[str, Value]  # of the ranges
    handle: optuna.Trial


class OpenStudy:
    """Asks for trials, tells how they ended, reads all of them.

    Methods raise HostError when the database fails.
    """

    def __init__(self, spec: TuningSpec, place: Place) -> None:
        """Open or create the study called `spec.name`.

        Raises SpecError: the storage has another study of this name.
        """
        self.spec, self.place = spec, place
        self._distributions = distributions(spec.ranges)
        self._storage = connect(place)
        with database(place):
            self._is_creator = True
            self._study = self._load()

    def _load(self) -> optuna.Study:
        options: dict[str, Any] = {
            "study_name": self.spec.name,
            "storage": self._storage,
            "sampler": SeededSampler(self.spec),
            "pruner": pruner_of(self.spec),
        }
        try:
            study = optuna.create_study(direction=_direction(self.spec), **options)
        except DuplicatedStudyError:
            study, self._is_creator = optuna.load_study(**options), False
        ours = json.loads(json.dumps(self.spec.identity()))
        theirs = study.user_attrs.get(_IDENTITY, ours)
        if theirs != ours:
            keys = theirs.keys() | ours.keys()
            differing = sorted(key for key in keys if theirs.get(key) != ours.get(key))
            raise SpecError(
                f"{self.place.shown} has a study {self.spec.name!r} with other settings "
                f"({', '.join(differing)} differ): give this one another name"
            )
        study.set_user_attr(_IDENTITY, ours)
        return study

    def begin(self, parents: Mapping[str, Trial]) -> None:
        """Once a session, before the first claim: learn from parents, take up what was left.

        `parents` are completed trials of earlier studies by some name, with values in our ranges.
        """
        with database(self.place):
            if self.place.is_shared and not self._is_creator:
                self._await_creator()
            if not self._study.user_attrs.get(_READY):
                known = {one.user_attrs.get(WARM) for one in self._study.get_trials(deepcopy=False)}
                for name, trial in parents.items():
                    if name not in known:
                        self._study.add_trial(self._warm(name, trial))
                self._study.set_user_attr(_READY, True)
            if not self.place.is_shared:  # nobody else can be running them
                for one in self._own(TrialState.RUNNING):
                    self._storage.set_trial_state_values(one._trial_id, TrialState.WAITING)

    def _await_creator(self) -> None:
        """Numbers begin after the parents' trials: those have to be there first."""
        deadline = time.monotonic() + _CREATION_SECONDS
        while not self._study.user_attrs.get(_READY) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def _warm(self, name: str, trial: Trial) -> FrozenTrial:
        params = {
            parameter_of(key, one): from_value(one, trial.hyperparameters[key])
            for key, one in self.spec.ranges.items()
        }
        return optuna.trial.create_trial(
            params=params,
            distributions=self._distributions,
            value=trial.objective,
            user_attrs={WARM: name},
        )

    def claim(self, worker: str) -> Claim | None:
        """The next trial to run; None while all are taken or done."""
        with database(self.place):
            own, limit = self._own(), self.spec.num_jobs
            if all(one.state != TrialState.WAITING for one in own[:limit]) and len(own) >= limit:
                return None
            handle = self._study.ask(self._distributions)
            number = index_of(self._study, self._storage.get_trial(handle._trial_id)) + 1
            if number > limit:  # another host took the last one at the same moment
                self._storage.set_trial_state_values(handle._trial_id, TrialState.WAITING)
                return None
            self._storage.record_heartbeat(handle._trial_id)
            handle.set_user_attr(_RECORD, asdict(Record(worker=worker)))
        values = {
            name: to_value(one, handle.params[parameter_of(name, one)])
            for name, one in self.spec.ranges.items()
        }
        return Claim(number=number, values=values, handle=handle)

    def report(self, claim: Claim, epoch: int, value: float | None) -> bool:
        """The objective after an epoch. True: the trial is not worth going on with."""
        if not self.spec.stops_trials or value is None:
            return False
        with database(self.place):
            claim.handle.report(value, epoch)
            return claim.handle.should_prune()

    def beat(self, claims: Iterable[Claim]) -> None:
        """Say that our trials are alive, and fail those of hosts that are not.

        To be called every `place.heartbeat_seconds`.
        """
        with database(self.place):
            for claim in claims:
                self._storage.record_heartbeat(claim.handle._trial_id)
            if not self.place.is_shared:
                return
            fail_stale_trials(self._study)
            for one in self._own(TrialState.RUNNING):
                begun = one.datetime_start or datetime.now()
                is_orphan = _RECORD not in one.user_attrs
                if is_orphan and (datetime.now() - begun).total_seconds() > _ORPHAN_SECONDS:
                    self._storage.set_trial_state_values(one._trial_id, TrialState.FAIL)

    def finish(
        self, claim: Claim, status: TrialStatus, objective: float | None, record: Record
    ) -> bool:
        """Tell how a trial ended. False: others took us for dead and have failed it already."""
        with database(self.place):
            try:
                claim.handle.set_user_attr(_RECORD, {**asdict(record), "objective": objective})
                if status == "Completed":
                    self._study.tell(claim.handle, objective)
                else:
                    self._study.tell(claim.handle, state=_STATES[status])
            except UpdateFinishedTrialError:
                return False
        return True

    def release(self, claim: Claim) -> None:
        """Put an interrupted trial back: it is the next to be claimed, with the same values."""
        with database(self.place):
            self._storage.set_trial_state_values(claim.handle._trial_id, TrialState.WAITING)

    def trials(self) -> tuple[Trial, ...]:
        """All of the study's own by number, also those of other hosts."""
        with database(self.place):
            own = self._own()[: self.spec.num_jobs]
        return tuple(self._trial(number, one) for number, one in enumerate(own, start=1))

    def _trial(self, number: int, one: FrozenTrial) -> Trial:
        kept = dict(one.user_attrs.get(_RECORD, {}))
        reason = kept.pop("reason", None)
        if one.state == TrialState.FAIL and reason is None:
            reason = LOST
        if one.state == TrialState.WAITING:
            reason = INTERRUPTED
        values = {
            name: to_value(one_range, one.params[parameter])
            for name, one_range in self.spec.ranges.items()
            if (parameter := parameter_of(name, one_range)) in one.params
        }
        curves = tuple(kept.pop("curves", ()))
        return Trial(
            number=number, status=_STATUSES[one.state], hyperparameters=values, curves=curves,
            reason=reason, **kept,
        )  # fmt: skip

    def num_running(self) -> int:
        """Trials that some host has taken and not ended."""
        with database(self.place):
            return len(self._own(TrialState.RUNNING))

    def num_warm(self) -> int:
        """Trials that came from parents."""
        with database(self.place):
            every = self._study.get_trials(deepcopy=False)
        return sum(WARM in one.user_attrs for one in every)

    def seconds(self) -> float:
        """What earlier sessions took."""
        with database(self.place):
            return float(self._study.user_attrs.get(_SECONDS, 0.0))

    def set_seconds(self, seconds: float) -> None:
        """Of all sessions together."""
        with database(self.place):
            self._study.set_user_attr(_SECONDS, seconds)

    def importances(self) -> dict[str, float]:
        """Each range's share in how much the objective varies, sum 1; empty while trials are few.

        Source: Hutter et al., 2014 (fANOVA).
        """
        done = self._own(TrialState.COMPLETE)
        if len(done) < _FEWEST_FOR_IMPORTANCES or len({one.value for one in done}) < 2:
            return {}
        # Imported here: it brings scikit-learn, which sets variables of the process.

        from optuna import importance  # takes a second: scikit-learn

        with database(self.place):
            found = importance.get_param_importances(
                self._study, evaluator=importance.FanovaImportanceEvaluator(seed=0)
            )
        shares = {
            name: float(found.get(parameter_of(name, one), 0.0))
            for name, one in self.spec.ranges.items()
        }
        return shares if all(map(math.isfinite, shares.values())) else {}

    def _own(self, *states: TrialState) -> list[FrozenTrial]:
        """By number, without those of parents."""
        every = self._study.get_trials(deepcopy=False, states=states or None)
        return [one for one in every if WARM not in one.user_attrs]


def _direction(spec: TuningSpec) -> StudyDirection:
    return StudyDirection.MAXIMIZE if spec.objective.maximize else StudyDirection.MINIMIZE
