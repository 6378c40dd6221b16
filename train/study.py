"""OpenStudy: a study in optuna's storage. Whoever shares the storage shares its trials.

A trial that was interrupted goes back to the queue with its number and its hyperparameters. So
numbers have no gaps, and those up to the study's number of jobs are each run once.
"""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from contract.setting import Value
from contract.study import Trial, TrialStatus
from contract.tuning import TuningSpec
from train.importances import importances_of
from train.lost import give_back_lost
from train.record import Record
from train.same_study import (
    check_same,
    forget_pictures,
    pictures_of,
    settle_identity,
    settle_pictures,
)
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
from train.stored import RECORD, STATES, record_of, to_trial

_READY, _SECONDS = "ready", "seconds"
_CREATION_SECONDS = 60.0  # in which another host finishes what it has begun
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A trial that is ours to run."""

    number: int  # from 1, without those of parents
    values: Mapping[str, Value]  # of the ranges
    handle: optuna.Trial
    before: Record  # of the sessions that it was interrupted in


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

    def close(self) -> None:
        """Let go of the database; what is asked later connects again."""
        self._storage.remove_session()
        self._storage.engine.dispose()

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
        settle_identity(study, self.spec, self.place)
        return study

    def begin(
        self, parents: Mapping[str, Trial], channels: Mapping[str, str] | None = None
    ) -> None:
        """Once a session, before the first claim: learn from parents, take up what was left.

        `parents` are completed trials of earlier studies by some name, with values in our ranges;
        `channels` says by digests which pictures these are, None: any.

        Raises SpecError: the study has other pictures, or has learnt from other trials.
        """
        with database(self.place):
            if self.place.is_shared and not self._is_creator:
                self._await_creator()
            if channels is not None:
                settle_pictures(self._study, self.place, channels)
            self._learn({name: self._warm(name, trial) for name, trial in parents.items()})
            if not self.place.is_shared:  # nobody else can be running them
                for one in self._own(TrialState.RUNNING):
                    self._storage.set_trial_state_values(one._trial_id, TrialState.WAITING)

    def _learn(self, parents: Mapping[str, FrozenTrial]) -> None:
        """A parent may have gone on since: what is known of it must still be there, and equal."""
        every = self._study.get_trials(deepcopy=False)
        known = {name: one for one in every if (name := one.user_attrs.get(WARM)) is not None}
        ours = {name: _gist(parents[name]) for name in known if name in parents}
        theirs = {name: _gist(one) for name, one in known.items()}
        check_same(self._study, self.place, "a warm start from other trials", theirs, ours)
        if not self._study.user_attrs.get(_READY):
            for name, one in parents.items():
                if name not in known:
                    self._study.add_trial(one)
            self._study.set_user_attr(_READY, True)

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

    @property
    def pictures(self) -> dict[str, str]:
        """What `begin` was told of them."""
        with database(self.place):
            return pictures_of(self._study)

    def let_pictures_change(self) -> None:
        """They were refused, and shall be mended; unless a trial has learnt from them by now."""
        if not self.place.is_shared and not any(trial.curves for trial in self.trials()):
            with database(self.place):
                forget_pictures(self._study)

    def claim(self, worker: str) -> Claim | None:
        """The next trial to run; None while all are taken or done."""
        while True:
            # Another host may take us for dead between two steps, and end what we are taking.
            with database(self.place), suppress(UpdateFinishedTrialError):
                return self._claim(worker)

    def _claim(self, worker: str) -> Claim | None:
        own, limit = self._own(), self.spec.num_jobs
        waiting = [one for one in own[:limit] if one.state == TrialState.WAITING]
        if not waiting and len(own) >= limit:
            return None
        for one in waiting if self.place.is_shared else ():
            # Its last heartbeat is of whoever had it; by that the next would count as dead.
            self._storage.record_heartbeat(one._trial_id)
        handle = self._study.ask(self._distributions)
        asked = self._storage.get_trial(handle._trial_id)
        number = index_of(self._study, asked) + 1
        if number > limit:  # another host took the last one at the same moment
            self._storage.set_trial_state_values(handle._trial_id, TrialState.WAITING)
            return None
        self._storage.record_heartbeat(handle._trial_id)
        before = record_of(asked)
        handle.set_user_attr(RECORD, asdict(before.next_session(worker)))
        values = {
            name: to_value(one, handle.params[parameter_of(name, one)])
            for name, one in self.spec.ranges.items()
        }
        return Claim(number=number, values=values, handle=handle, before=before)

    def report(self, claim: Claim, epoch: int, value: float | None) -> bool:
        """The objective after an epoch. True: the trial is not worth going on with."""
        if not self.spec.stops_trials or value is None:
            return False
        with database(self.place):
            try:
                claim.handle.report(value, epoch)
            except UpdateFinishedTrialError:  # by others, who took us for dead
                return True
            return claim.handle.should_prune()

    def beat(self, claims: Iterable[Claim]) -> None:
        """Say that our trials are alive, and give back those of hosts that are not.

        To be called every `place.heartbeat_seconds`.
        """
        with database(self.place):
            for claim in claims:
                self._hold(claim)
            if self.place.is_shared:
                give_back_lost(self._study, self._storage)

    def _hold(self, claim: Claim) -> None:
        """A host that was suspended may find its trials given back: they are still its own."""
        trial_id = claim.handle._trial_id
        self._storage.record_heartbeat(trial_id)
        with suppress(UpdateFinishedTrialError):
            self._storage.set_trial_state_values(trial_id, TrialState.RUNNING)

    def finish(
        self, claim: Claim, status: TrialStatus, objective: float | None, record: Record
    ) -> bool:
        """Tell how a trial ended. False: others took us for dead and have ended it already."""
        with database(self.place):
            try:
                self._hold(claim)
                claim.handle.set_user_attr(RECORD, {**asdict(record), "objective": objective})
                if status == "Completed":
                    self._study.tell(claim.handle, objective)
                else:
                    self._study.tell(claim.handle, state=STATES[status])
            except UpdateFinishedTrialError:
                return False
        return True

    def release(self, claim: Claim, record: Record | None = None) -> None:
        """Put an interrupted trial back: it is the next to be claimed, with the same values.

        `record`: how far it came, for those who look at it meanwhile.
        """
        with database(self.place), suppress(UpdateFinishedTrialError):
            if record is not None:
                claim.handle.set_user_attr(RECORD, asdict(record))
            self._storage.set_trial_state_values(claim.handle._trial_id, TrialState.WAITING)

    def trials(self) -> tuple[Trial, ...]:
        """All of the study's own by number, also those of other hosts."""
        with database(self.place):
            own = self._own()[: self.spec.num_jobs]
        return tuple(to_trial(self.spec, number, one) for number, one in enumerate(own, start=1))

    def num_running(self) -> int:
        """Trials that some host has taken and not ended."""
        return self._count(TrialState.RUNNING)

    def num_open(self) -> int:
        """Those, and trials that were given back."""
        return self._count(TrialState.RUNNING, TrialState.WAITING)

    def _count(self, *states: TrialState) -> int:
        with database(self.place):
            return sum(one.state in states for one in self._own()[: self.spec.num_jobs])

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
        """Each range's share in how much the objective varies; empty while trials are few."""
        with database(self.place):
            return importances_of(self._study, self.spec)

    def _own(self, *states: TrialState) -> list[FrozenTrial]:
        """By number, without those of parents."""
        every = self._study.get_trials(deepcopy=False, states=states or None)
        return [one for one in every if WARM not in one.user_attrs]


def _direction(spec: TuningSpec) -> StudyDirection:
    return StudyDirection.MAXIMIZE if spec.objective.maximize else StudyDirection.MINIMIZE


def _gist(one: FrozenTrial) -> tuple[dict[str, Any], float | None]:
    """What the sampler learns from."""
    return one.params, one.value
