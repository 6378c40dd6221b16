"""Same study: whether what a storage has under a name is the study that this job describes."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from contract.errors import SpecError
from contract.tuning import TuningSpec
from train.storage import Place

_IDENTITY, _PICTURES = "identity", "channels"  # attributes


class Stored(Protocol):
    """What we need of optuna's Study."""

    study_name: str

    @property
    def user_attrs(self) -> dict[str, Any]:
        """Of the study, not of its trials."""

    def set_user_attr(self, key: str, value: Any) -> None:
        """Any JSON."""


def settle_identity(study: Stored, spec: TuningSpec, place: Place) -> None:
    """What is searched and how. Raises SpecError: the storage has another study of this name."""
    ours = json.loads(json.dumps(spec.identity()))
    if "warm_start" in ours:  # folders of one host; their trials are compared by themselves
        del ours["warm_start"]["parents"]
    check_same(study, place, "other settings", study.user_attrs.get(_IDENTITY, ours), ours)
    study.set_user_attr(_IDENTITY, ours)


def settle_pictures(study: Stored, place: Place, digests: Mapping[str, str]) -> None:
    """Trials of different pictures cannot be compared. Raises SpecError: the study has others."""
    theirs = study.user_attrs.get(_PICTURES) or digests
    check_same(study, place, "other pictures", theirs, digests)
    study.set_user_attr(_PICTURES, dict(digests))


def forget_pictures(study: Stored) -> None:
    """Those of the next session may be others."""
    study.set_user_attr(_PICTURES, {})


def pictures_of(study: Stored) -> dict[str, str]:
    """Their digests by channel; empty while any may come."""
    return dict(study.user_attrs.get(_PICTURES) or {})


def check_same(
    study: Stored, place: Place, what: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]
) -> None:
    """Raises SpecError with the names whose values differ."""
    if theirs == ours:
        return
    keys = theirs.keys() | ours.keys()
    differing = sorted(key for key in keys if theirs.get(key) != ours.get(key))
    named = ", ".join(differing[:5]) + (", ..." if differing[5:] else "")
    where = place.shown if place.is_shared else "the checkpoint of this job"
    raise SpecError(
        f"{where} has a study {study.study_name!r} with {what} ({named} differ): "
        "give this one another name"
    )
