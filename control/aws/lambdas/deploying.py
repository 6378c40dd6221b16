"""Deploying: the function becomes what its description says, whatever was there before."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from contract.errors import HostError
from control.aws.access.ending import check_end
from control.aws.account import Account
from control.aws.call import Call
from control.aws.expiry import end_expiry, expiry_call, set_expiry
from control.aws.lambdas.archive import build_archive, sha256_of
from control.aws.lambdas.function_spec import ALIAS, FunctionSpec
from control.aws.lambdas.looking import DENIED, find_ours
from control.aws.lambdas.public_url import make_url, remove_url
from control.aws.lambdas.requests import (
    alias_call,
    create_call,
    log_calls,
    on_function,
    provision_call,
    publish_call,
    reserve_call,
    tags_for,
    update_calls,
)
from control.aws.lambdas.role import role_calls, role_name
from control.aws.money import Cost
from control.aws.rates import lambda_provisioned_per_hour
from control.aws.tags import EXPIRES, VERSION, Tags, tags_of
from control.aws.waiting import poll_seconds, wait_for
from control.aws_client import AwsError
from control.terminal import say

ROLE_SECONDS = 60.0  # until all of AWS knows a role that was just made
FUNCTION_SECONDS = 300.0
PROVISIONED_SECONDS = 900.0
IS_THERE = frozenset({"EntityAlreadyExists", "ResourceAlreadyExistsException"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What is there now."""

    change: str  # created, updated or unchanged
    arn: str
    version: str  # that `live` means; $LATEST without provisioned concurrency
    url: str  # empty without one
    expires: str  # ISO 8601, UTC; empty: never

    def to_json(self) -> dict[str, str | None]:
        """Plain data."""
        return {**asdict(self), "expires": self.expires or None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One deployment under way."""

    account: Account
    spec: FunctionSpec
    role_arn: str
    expiry_arn: str  # of the role that deletes it; empty for a function without an end
    echo: TextIO
    again: str  # the command that looks again, with all its flags

    def find(self) -> Mapping[str, Any] | None:
        """What GetFunction answers. Raises UsageError: it is somebody else's."""
        return find_ours(self.account, self.spec.name)

    def check_end(self) -> None:
        """Raises UsageError: nobody would delete it when its time is over. AwsError."""
        name, expires = self.spec.name, tags_for(self.spec).expires
        if expires:
            call = expiry_call("function", name, expires, self.expiry_arn)
            flags = f" --function {name}"
            check_end(self.account, call, f"function {name}", "no --ttl-hours", flags)

    def run(self, found: Mapping[str, Any] | None) -> Deployed:
        """Make it, or change what differs from `found`. Raises AwsError, HostError."""
        spec, tags = self.spec, tags_for(self.spec)
        if spec.makes_role:
            self._make_role(tags)
        change = self._make_function(found, tags)
        for call in log_calls(spec, tags):
            _send_unless_there(self.account, call, f"log group {spec.log_group}")
        self._reserve(found or {})
        version = self._provide(is_new=found is None)
        url = make_url(self.account, spec, self.echo, is_new=found is None)
        self._expire(found or {}, tags)
        arn = str(self._settled()["FunctionArn"])
        expires = tags.as_dict().get(EXPIRES, "")
        return Deployed(change=change, arn=arn, version=version, url=url, expires=expires)

    def _make_role(self, tags: Tags) -> None:
        create, policy = role_calls(self.spec, self.role_arn, self.account.region, tags)
        name = role_name(self.role_arn)
        look = Call(service="iam", operation="GetRole", parameters={"RoleName": name})
        if self.account.find(look, f"role {name}") is None:
            _send_unless_there(self.account, create, f"role {name}")
            say(f"role:    {name} was made", to=self.echo)
        self.account.send(policy, f"role {name}")

    def _make_function(self, found: Mapping[str, Any] | None, tags: Tags) -> str:
        spec = self.spec
        if found is None:
            self._patiently(create_call(spec, self.role_arn, tags))
            self._settled()
            return "created"
        has = self._settled(before=True)
        is_half = has.get("LastUpdateStatus") == "Failed"  # it may say what it never became
        current = {} if is_half else has
        calls = update_calls(spec, self.role_arn, current, sha256_of(build_archive()))
        for call in calls:
            self._patiently(call)
            self._settled()
        if _lasting(tags_of(found.get("Tags"))) != _lasting(tags.as_dict()):
            told = {"Resource": has["FunctionArn"], "Tags": tags.as_dict()}
            tag = Call(service="lambda", operation="TagResource", parameters=told)
            self.account.send(tag, f"function {spec.name}")
        return "updated" if calls else "unchanged"

    def _settled(self, *, before: bool = False) -> dict[str, Any]:
        """The configuration, once nothing of it is under way.

        Args:
            before: nothing was sent yet, so an update that failed is an earlier one.

        Raises HostError: it failed.
        """
        name = self.spec.name
        answer: dict[str, Any] = wait_for(
            lambda: self.account.send(on_function(name, "GetFunction"), f"function {name}"),
            lambda answer: not _is_under_way(answer["Configuration"]),
            what=f"function {name}",
            limit_seconds=FUNCTION_SECONDS,
            look_again=self.again,
        )["Configuration"]
        if answer.get("State") == "Failed":
            reason = answer.get("StateReason") or "no reason"
            raise HostError(
                f"function {name} failed, AWS says: {reason}; `kennel lambda delete {name}`, "
                f"then `{self.again}`"
            )
        if answer.get("LastUpdateStatus") == "Failed" and not before:
            reason = answer.get("LastUpdateStatusReason") or "no reason"
            raise HostError(
                f"function {name} goes on as it was: AWS says of the update: {reason}; "
                f"`{self.again}` tries again"
            )
        return answer

    def _patiently(self, call: Call) -> None:
        """Send a call that names a role, which may be too new for Lambda. Raises AwsError."""
        until = time.monotonic() + ROLE_SECONDS
        is_told = False
        while True:
            try:
                self.account.send(call, f"function {self.spec.name}")
                return
            except AwsError as error:
                is_role = "assumed" in str(error) and error.code.startswith("InvalidParameterValue")
                if not is_role or time.monotonic() > until or not (is_told or self._has_role()):
                    raise
            if not is_told:
                say("role:    Lambda does not know it yet, waiting up to 1 min", to=self.echo)
            is_told = True
            time.sleep(poll_seconds())

    def _has_role(self) -> bool:
        """False only when IAM says so: some may not ask."""
        name = role_name(self.role_arn)
        look = Call(service="iam", operation="GetRole", parameters={"RoleName": name})
        try:
            return self.account.find(look, f"role {name}") is not None
        except AwsError:
            return True

    def _reserve(self, found: Mapping[str, Any]) -> None:
        spec, has = self.spec, found.get("Concurrency", {}).get("ReservedConcurrentExecutions")
        if spec.reserved is not None and spec.reserved != has:
            self.account.send(reserve_call(spec), f"reserved concurrency of {spec.name}")
        elif spec.reserved is None and has is not None:
            call = on_function(spec.name, "DeleteFunctionConcurrency")
            self.account.find(call, f"reserved concurrency of {spec.name}")

    def _provide(self, *, is_new: bool) -> str:
        """Provisioned concurrency, or none; the version that callers reach."""
        account, spec = self.account, self.spec
        look = on_function(spec.name, "GetAlias", Name=ALIAS)
        alias = None if is_new else account.find(look, f"alias {ALIAS}")
        if not spec.provisioned:
            if alias is not None:
                self._unprovide()
            return "$LATEST"
        version = str(account.send(publish_call(spec.name), f"function {spec.name}")["Version"])
        if alias is None:
            account.send(alias_call(spec.name, version), f"alias {ALIAS}")
        elif alias["FunctionVersion"] != version:
            account.send(alias_call(spec.name, version, "UpdateAlias"), f"alias {ALIAS}")
        if alias is None or not self._is_provided():
            account.send(provision_call(spec), f"provisioned concurrency of {spec.name}")
        self._until_ready()
        return version

    def _is_provided(self) -> bool:
        """Whether as many are kept, or made, ready: asking again would begin anew."""
        call = on_function(self.spec.name, "GetProvisionedConcurrencyConfig", Qualifier=ALIAS)
        has = self.account.find(call, f"provisioned concurrency of {self.spec.name}") or {}
        wanted = has.get("RequestedProvisionedConcurrentExecutions")
        return wanted == self.spec.provisioned and has.get("Status") != "FAILED"

    def _until_ready(self) -> None:
        name, doing = self.spec.name, f"provisioned concurrency of {self.spec.name}"
        call = on_function(name, "GetProvisionedConcurrencyConfig", Qualifier=ALIAS)
        say(f"waiting: {self.spec.provisioned} instances are made ready", to=self.echo)
        answer = wait_for(
            lambda: self.account.send(call, doing),
            lambda answer: answer.get("Status") != "IN_PROGRESS",
            what=doing,
            limit_seconds=PROVISIONED_SECONDS,
            look_again=self.again,
        )
        if answer.get("Status") != "READY":
            raise HostError(
                f"{doing} failed, AWS says: {answer.get('StatusReason') or 'no reason'}; "
                "it is not billed; without --provisioned-concurrency the same command goes on"
            )

    def _unprovide(self) -> None:
        """What is not asked for any more would cost on."""
        name, live = self.spec.name, {"Qualifier": ALIAS}
        gone = on_function(name, "DeleteProvisionedConcurrencyConfig", **live)
        self.account.find(gone, f"provisioned concurrency of {name}")
        remove_url(self.account, name, live)
        self.account.find(on_function(name, "DeleteAlias", Name=ALIAS), f"alias {ALIAS}")
        say("ended:   provisioned concurrency, which was not asked for again", to=self.echo)

    def _expire(self, found: Mapping[str, Any], tags: Tags) -> None:
        name = self.spec.name
        if tags.expires:
            call = expiry_call("function", name, tags.expires, self.expiry_arn)
            set_expiry(self.account, call, f"the scheduled deletion of {name}")
        elif not found:
            self._end_old_schedule()
        elif EXPIRES in tags_of(found.get("Tags")):
            end_expiry(self.account, "function", name)
            gone = {"Resource": found["Configuration"]["FunctionArn"], "TagKeys": [EXPIRES]}
            untag = Call(service="lambda", operation="UntagResource", parameters=gone)
            self.account.send(untag, f"function {name}")
            say("ended:   its scheduled deletion, which was not asked for again", to=self.echo)

    def _end_old_schedule(self) -> None:
        """One that an earlier function of this name has left would delete this one, too."""
        try:
            end_expiry(self.account, "function", self.spec.name)
        except AwsError as error:  # who wants no schedules may not have the right to ask
            if error.code not in DENIED:
                raise


def costs_of(spec: FunctionSpec) -> list[Cost]:
    """What is billed while nobody asks: provisioned concurrency alone."""
    if not spec.provisioned:
        return []
    return [
        Cost(
            what=f"{spec.provisioned} x {spec.memory_mb} MB kept ready, function {spec.name}",
            per_hour=lambda_provisioned_per_hour(spec.memory_mb, spec.provisioned),
            hours=spec.ttl_hours or None,
            note="and what is asked",
        )
    ]


def _is_under_way(configuration: Mapping[str, Any]) -> bool:
    return configuration.get("State") == "Pending" or (
        configuration.get("LastUpdateStatus") == "InProgress"
    )


def _lasting(tags: Mapping[str, str]) -> dict[str, str]:
    """Without the version that made it: by itself that is no reason to change anything."""
    return {key: value for key, value in tags.items() if key != VERSION}


def _send_unless_there(account: Account, call: Call, doing: str) -> None:
    try:
        account.send(call, doing)
    except AwsError as error:
        if error.code not in IS_THERE:
            raise
