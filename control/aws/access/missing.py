"""Missing: the statement of `kennel iam show` that allows what AWS has just refused."""

import json
import os
import re
from dataclasses import dataclass

from control.aws.access.actions import ADMINISTRATOR, PERSON
from control.aws.access.grant import Statement, named, policy_of
from control.aws.access.reading import without_files
from control.aws.access.roles import ROLES
from control.aws.access.scope import Scope
from control.s3 import S3Uri

# Source: IAM user guide, access denied error messages.
_USER = re.compile(r"arn:(aws[\w-]*):(?:iam|sts)::(\d{12}):(?:assumed-role/([\w+=,.@-]+))?")
_ARN = re.compile(r"arn:(aws[\w-]*):([\w-]+):([\w-]*):(\d*):(.*)")
USUAL_REGION = "us-east-1"  # where the thing has none in its ARN


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """What is missing, and who may see it whole."""

    line: str  # the statement, as `kennel iam show -o json` has it
    command: str  # that prints the policy it stands in


def missing_right(action: str, resource: str, message: str) -> Right | None:
    """None when nothing that kennel calls needs it: then the right is somebody else's affair.

    Args:
        action: e.g. sagemaker:CreateEndpoint.
        resource: an ARN, or *.
        message: AWS's sentence, which names the user or the role.
    """
    user, thing = _USER.search(message), _ARN.fullmatch(resource)
    account = (thing and thing[4]) or (user and user[2]) or ""
    if not account:
        return None
    here = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    place = (thing and thing[3]) or here or USUAL_REGION
    bucket = thing[5].partition("/")[0] if thing and thing[2] == "s3" else ""
    scope = without_files(
        Scope(partition=(user or thing or ["", "aws"])[1], region=place, account=account),
        (S3Uri(bucket or f"kennel-{account}", ""),),
    )
    more = f" --bucket s3://{bucket}" if bucket else ""
    tables = [("person", PERSON), ("administrator", ADMINISTRATOR)]
    if user and user[3]:  # a role of ours at work
        tables = [
            (key, role.grants) for key, role in ROLES.items() if role.name == user[3]
        ] or tables
    for key, grants in tables:
        about = [one for one in policy_of(grants, scope)["Statement"] if action in one["Action"]]
        if found := _best(about, action, resource):
            return Right(line=json.dumps(found), command=f"kennel iam show --only {key}{more}")
    return None


def _best(about: list[Statement], action: str, resource: str) -> Statement | None:
    exact = [one for one in about if named(one, action, resource)]
    return next(iter(exact or about), None)
