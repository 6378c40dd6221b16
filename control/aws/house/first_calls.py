"""First calls: what a command that only looks asks AWS before any answer is known, for --show."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from control.aws.account import Account
from control.aws.call import Call
from control.aws.house.check_account import role_checks
from control.aws.house.check_data import data_checks
from control.aws.house.check_image import image_checks
from control.aws.house.check_quota import quota_checks
from control.aws.house.inventory import LISTERS
from control.aws.house.wanted import read_wanted
from control.aws_client import AwsError

UNKNOWN = "ACCOUNT"  # its number, which only an answer tells


class Noting(Account):
    """Sends nothing. A question ends whoever asks it: what comes next depends on the answer."""

    def __init__(self, *, are_lists_empty: bool) -> None:
        super().__init__()
        self.noted: list[Call] = []
        self._are_lists_empty = are_lists_empty  # so that one listing follows the other

    def send(self, call: Call, doing: str = "") -> NoReturn:
        """Raises AwsError: nothing was asked."""
        self.noted.append(call)
        raise AwsError(f"{doing or call.operation}: not asked", "NotAsked")

    def pages(self, call: Call, key: str, doing: str = "") -> Iterator[Any]:  # noqa: ARG002 - as there
        """Raises AwsError unless lists count as empty."""
        self.noted.append(call)
        if not self._are_lists_empty:
            raise AwsError(f"{doing or call.operation}: not asked", "NotAsked")
        return iter(())

    def _who(self) -> dict[str, str]:
        if not self._identity:
            self._identity = {"Account": UNKNOWN, "Arn": ""}
            self.noted.append(Call(service="sts", operation="GetCallerIdentity", parameters={}))
        return self._identity


def first_of_list() -> list[Call]:
    """Of `kennel list --cost`: every listing."""
    account = Noting(are_lists_empty=True)
    account.id  # noqa: B018 - as the command begins
    for lister in LISTERS:
        with suppress(AwsError):
            lister.list(account)
    return account.noted


def first_of_doctor(path: Path | None) -> list[Call]:
    """Of `kennel doctor`: one for each thing that the file names. Raises SpecError and its like."""
    wanted = read_wanted(path) if path else None
    account = Noting(are_lists_empty=False)
    if wanted and not (wanted.machines or wanted.roles):
        return []
    account.id  # noqa: B018 - credentials come first
    if wanted:
        role_checks(account, wanted)
        quota_checks(account, wanted)
        image_checks(account, wanted)
        data_checks(account, wanted)
    return account.noted
