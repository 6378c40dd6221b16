"""Lost: trials whose host was not heard of any more. Others take them up, once."""

from contextlib import suppress
from datetime import datetime

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from train.stored import RECORD

_LOST = "lost"  # attribute of trials that were given back
_ORPHAN_SECONDS = 600.0  # taken by a host that died before its first heartbeat


def give_back_lost(study: optuna.Study, storage: RDBStorage) -> None:
    """Put them back to the queue; those that were lost before have failed.

    A trial may be what brings its host down: it shall not do so to one after the other.
    """
    for trial_id in storage._get_stale_trial_ids(study._study_id):
        # Asked again: another host may just have given it back, and a third may have it now.
        if trial_id in storage._get_stale_trial_ids(study._study_id):
            _give_back(storage, trial_id)
    for one in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        seconds = (datetime.now() - (one.datetime_start or datetime.now())).total_seconds()
        if RECORD not in one.user_attrs and seconds > _ORPHAN_SECONDS:
            _give_back(storage, one._trial_id)


def _give_back(storage: RDBStorage, trial_id: int) -> None:
    with suppress(UpdateFinishedTrialError):
        if _LOST in storage.get_trial(trial_id).user_attrs:
            storage.set_trial_state_values(trial_id, TrialState.FAIL)
            return
        storage.set_trial_user_attr(trial_id, _LOST, True)
        storage.set_trial_state_values(trial_id, TrialState.WAITING)
