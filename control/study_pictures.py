"""The pictures of a study: whether those in its channels are still the ones that it is about."""

from collections.abc import Sequence
from pathlib import Path

from contract.channel_digests import digests_of
from contract.errors import UsageError
from contract.job import Channel
from control.study_runs import StudyRun
from control.tuning_file import Tuning


def changed_channels(found: StudyRun, tuning: Tuning) -> list[str]:
    """Channels whose files have other names or sizes than when the study's first trial began."""
    theirs = found.study.pictures if found.study else {}
    here = {
        name: Channel(name=name, path=Path(str(source)))
        for name, source in tuning.channels.items()
        if name in theirs and Path(str(source)).exists()
    }
    return sorted(name for name, digest in digests_of(here).items() if digest != theirs[name])


def check_pictures(found: StudyRun, tuning: Tuning) -> None:
    """Before a study goes on. Raises UsageError: its trials could not be compared."""
    if changed := changed_channels(found, tuning):
        raise UsageError(
            f"{found.run.folder}: the pictures of {' and '.join(changed)} have changed since this "
            "study began, and its trials would no longer compare: bring the old ones back, or "
            "start anew with --name NAME"
        )


def check_parents(parents: Sequence[StudyRun], tuning: Tuning) -> None:
    """Raises UsageError: a parent learnt from pictures that have changed, and must be equal."""
    warm_start = tuning.spec.warm_start
    if warm_start is None or warm_start.type == "TransferLearning":
        return
    for parent in parents:
        if changed := changed_channels(parent, tuning):
            raise UsageError(
                f"warm_start.parents: {parent.run.folder} learnt from other pictures of "
                f'{" and ".join(changed)}, which have changed since: take type "TransferLearning"'
            )


def changed_note(found: StudyRun, tuning: Tuning) -> str | None:
    """What to say when a study that has ended is shown."""
    changed = changed_channels(found, tuning)
    return (
        f"the pictures of {' and '.join(changed)} have changed since: this study is about the old "
        "ones; --name NAME searches with the new ones"
        if changed
        else None
    )
