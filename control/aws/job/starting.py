"""Starting a run in AWS: its folder is written first, then what it is made of is made, whole.

Beside it what a run that was started is asked later, as --show says it.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from contract.errors import KennelError, UsageError
from control.aws.account import Account
from control.aws.call import Call
from control.aws.job.onlooker import Onlooker
from control.aws_client import AwsError
from control.runs import Run, write_run


class Asked(NamedTuple):
    """For --show: what a run that goes on in AWS is asked, and what cannot be said before."""

    calls: tuple[Call, ...]
    note: str = ""


def new_run(
    name: str,
    folder: Path,
    aws: Mapping[str, Any],
    hyperparameters: Mapping[str, str],
    channels: Mapping[str, object],
) -> Run:
    """A run of this process that begins now, in run.json: whatever happens, its job is known."""
    run = Run(
        name=name,
        folder=folder,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        pid=os.getpid(),
        hyperparameters=hyperparameters,
        channels={channel: str(source) for channel, source in channels.items()},
        aws=aws,
    )
    write_run(run)
    return run


@contextmanager
def making(run: Run, onlooker: Onlooker) -> Iterator[None]:
    """The requests that are sent inside are all sent before Ctrl-C is heard.

    Raises DetachedError after Ctrl-C: it was made, and goes on; AwsError that says how to look
    when no answer came; otherwise what is raised inside, and the run has failed.
    """
    try:
        with onlooker.interrupts.held():
            yield
    except KeyboardInterrupt:
        raise onlooker.detached() from None
    except KennelError as error:
        if isinstance(error, AwsError) and error.is_transient:
            told = f"{error}; it may have been made all the same: `{onlooker.again}` looks"
            raise AwsError(told, error.code) from None
        write_run(replace(run, status="Failed", failure_reason=str(error)))
        raise


def check_started(run: Run) -> None:
    """Raises UsageError: AWS refused to make what this run asked for, so nothing is there."""
    if run.status == "Failed" and "bill" not in run.aws:
        raise UsageError(
            f"{run.folder} was never started: {run.failure_reason}; `kennel run JOB.toml` asks anew"
        )


def age_of(run: Run) -> float:
    """Seconds since it was begun; 0 when nobody knows."""
    try:
        began = datetime.fromisoformat(run.started_at)
    except ValueError:
        return 0.0
    return max(0.0, (datetime.now(UTC) - began).total_seconds())


def check_region(run: Run, account: Account) -> None:
    """Raises UsageError: the run is in another region than the one that is asked."""
    region = run.aws["region"]
    if region != account.region:
        raise UsageError(
            f"{run.folder} is in {region}, and this command asks {account.region}: "
            f"set AWS_REGION={region}"
        )
