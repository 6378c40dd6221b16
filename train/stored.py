"""Stored: a trial as optuna's storage has it, read as one of ours."""

from collections.abc import Mapping

from optuna.trial import FrozenTrial, TrialState

from contract.study import Trial, TrialStatus
from contract.tuning import TuningSpec
from train.record import Record
from train.sampler import parameter_of, to_value

RECORD = "record"  # attribute: what is kept of a trial besides its objective
LOST = "its hosts were not heard of any more, twice: switched off, or without a network"
INTERRUPTED = "interrupted; the next start of the study continues it"
STATES = {"Stopped": TrialState.PRUNED, "Failed": TrialState.FAIL}
_STATUSES: Mapping[TrialState, TrialStatus] = {
    TrialState.COMPLETE: "Completed",
    TrialState.PRUNED: "Stopped",
    TrialState.FAIL: "Failed",
    TrialState.RUNNING: "InProgress",
    TrialState.WAITING: "InProgress",
}


def record_of(one: FrozenTrial) -> Record:
    """What is kept of a trial, or the beginning of that."""
    kept = dict(one.user_attrs.get(RECORD, {}))
    kept.pop("objective", None)
    return Record(**kept)


def to_trial(spec: TuningSpec, number: int, one: FrozenTrial) -> Trial:
    """`number`: from 1, without those of parents."""
    kept = dict(one.user_attrs.get(RECORD, {}))
    reason = kept.pop("reason", None)
    if one.state == TrialState.FAIL and reason is None:
        reason = LOST
    if one.state == TrialState.WAITING:
        reason = reason or INTERRUPTED
    values = {
        name: to_value(one_range, one.params[parameter])
        for name, one_range in spec.ranges.items()
        if (parameter := parameter_of(name, one_range)) in one.params
    }
    curves = tuple(kept.pop("curves", ()))
    return Trial(
        number=number, status=_STATUSES[one.state], hyperparameters=values, curves=curves,
        reason=reason, **kept,
    )  # fmt: skip
