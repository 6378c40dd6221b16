"""Checks of the account: who asks, until when, where, and the roles that do the work."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from control.aws.access.ending import may_end
from control.aws.account import Account
from control.aws.endpoint.deployment import DeploymentSpec
from control.aws.expiry import expiry_call
from control.aws.house.check import Check, fine, looked, note, wrong
from control.aws.house.roles import iam
from control.aws.house.wanted import EC2, SCHEDULER, Wanted
from control.aws_client import credentials_end
from control.terminal import duration

SOON_SECONDS = 15 * 60
MAKING = "kennel iam create FILE.toml"


def account_checks(account: Account) -> list[Check]:
    """Credentials and region. Raises UsageError: there are no credentials; AwsError."""
    who, end = account.caller, credentials_end()
    left = (end - datetime.now(UTC)).total_seconds() if end else None
    if left is not None and left < SOON_SECONDS:
        until = f"valid for {duration(left)} only" if left > 0 else "expired"
        check = wrong("credentials", f"{who}, {until}", "aws sso login, or new keys")
    else:
        check = fine("credentials", who if left is None else f"{who}, valid for {duration(left)}")
    return [check, fine("region", account.region)]


def role_checks(account: Account, wanted: Wanted, making: str = MAKING) -> list[Check]:
    """Each role exists and trusts the service that takes it.

    Args:
        making: the command that makes them.
    """
    found = []
    for role, service in wanted.roles:
        found += looked("role", partial(_role, account, role, service, making))
    if wanted.deployment and any(service == SCHEDULER for _, service in wanted.roles):
        found += looked("end", partial(_end, account, wanted.deployment, making))
    return found


def _end(account: Account, spec: DeploymentSpec, making: str) -> Check:
    """Whether the schedule would delete the endpoint."""
    role, at = account.role_arn(spec.place.expiry_role), datetime.now(UTC)
    name, may = (
        role.rpartition("/")[2],
        may_end(account, expiry_call("endpoint", spec.name, at, role)),
    )
    if may is None:
        return note("end", f"whether {name} may delete endpoint {spec.name} cannot be told")
    if not may:
        return wrong("end", f"{name} may not delete endpoint {spec.name}", making)
    return fine("end", f"{name} may delete endpoint {spec.name}")


def _role(account: Account, role: str, service: str, making: str) -> Check:
    name = role.rpartition("/")[2]
    if service == EC2:
        call = iam("GetInstanceProfile", InstanceProfileName=name)
        profile = account.find(call, f"instance profile {name}")
        if profile is None:
            return wrong("role", f"instance profile {name} does not exist", making)
        if not profile["InstanceProfile"]["Roles"]:
            return wrong("role", f"instance profile {name} holds no role", making)
        name = str(profile["InstanceProfile"]["Roles"][0]["RoleName"])
    said = account.find(iam("GetRole", RoleName=name), f"role {name}")
    if said is None:
        return wrong("role", f"{name} does not exist", making)
    if not trusts(said["Role"].get("AssumeRolePolicyDocument", {}), service):
        return wrong("role", f"{name} does not trust {service}", making)
    return fine("role", f"{name}, which {service} may take")


def trusts(policy: Mapping[str, Any], service: str) -> bool:
    """Whether a trust policy lets this service take the role; conditions are not looked at."""
    statements = policy.get("Statement", [])
    for one in statements if isinstance(statements, list) else [statements]:
        principal = one.get("Principal", {})
        names = principal.get("Service", []) if isinstance(principal, Mapping) else []
        named = [names] if isinstance(names, str) else names
        actions = one.get("Action", [])
        taken = [actions] if isinstance(actions, str) else actions
        if one.get("Effect") == "Allow" and service in named and "sts:AssumeRole" in taken:
            return True
    return False
