"""Examine: every check that a machine, an account and a file call for, in the order of the work."""

from pathlib import Path
from shlex import quote

from contract.errors import KennelError, UsageError
from control.aws.account import Account
from control.aws.house.check import Check, note, wrong
from control.aws.house.check_account import account_checks, role_checks
from control.aws.house.check_data import bundle_checks, data_checks, payload_check
from control.aws.house.check_image import image_checks
from control.aws.house.check_machine import machine_checks
from control.aws.house.check_quota import quota_checks
from control.aws.house.wanted import Wanted, read_wanted
from control.aws_client import AwsError

_AGAIN = "check the network, proxies and the region's name, then type it again"


def examine(known: dict[str, str], path: Path | None, pictures: Path | None) -> list[Check]:
    """What is fine, and what has to be done first.

    Without a file AWS is a matter of notes: this machine may never go there.

    Args:
        known: facts about this machine.
        pictures: a folder of what would be sent to the endpoint.

    Raises SpecError and its like: the file itself is wrong, and says where.
    """
    wanted = read_wanted(path) if path else Wanted()
    needs_aws = bool(wanted.machines or wanted.roles)
    found = machine_checks(known, needs_aws=needs_aws)
    if path and not needs_aws:
        found.append(note("aws", f"{path} has no table [aws]: it runs here"))
    account = Account()
    try:
        in_aws = account_checks(account) if needs_aws or not path else []
    except (AwsError, UsageError) as error:
        in_aws, needs_aws = [_unreachable(error, needs_aws)], False
    except KennelError:  # no boto3, which the machine's checks have said
        in_aws, needs_aws = [], False
    found += in_aws
    if needs_aws:
        found += role_checks(account, wanted, f"kennel iam create {quote(str(path))}")
        found += quota_checks(account, wanted)
        found += image_checks(account, wanted)
        found += data_checks(account, wanted)
    else:
        found += bundle_checks(wanted)
    if pictures:
        found.append(payload_check(pictures, wanted.payload_mb or 6))
    return found


def _unreachable(error: KennelError, needs_aws: bool) -> Check:
    """What AWS says, or boto3 here, holds the remedy; who was not heard at all is no login."""
    if not needs_aws:
        return note("credentials", f"nothing in AWS now: {error}")
    if isinstance(error, AwsError) and error.is_transient:
        return wrong("network", str(error), _AGAIN)
    if isinstance(error, AwsError) and error.code == "InvalidRegionError":
        return wrong("region", str(error), "aws configure set region us-east-1")
    return wrong("credentials", str(error), "aws configure, or aws sso login")
