"""The function's own address, and who may use it."""

from collections.abc import Mapping
from typing import Any, TextIO

from control.aws.account import Account
from control.aws.lambdas.function_spec import ALIAS, FunctionSpec
from control.aws.lambdas.requests import on_function, private_calls, public_calls, url_call
from control.aws_client import AwsError
from control.terminal import say


def make_url(account: Account, spec: FunctionSpec, echo: TextIO, *, is_new: bool) -> str:
    """The address as the description wants it, empty for none. Raises AwsError.

    Args:
        is_new: the function was just made, so that nothing has to be looked for.
    """
    found = None
    if not is_new:
        if spec.provisioned:  # an address of the time before would go on beside the alias's
            before = find_url(account, spec.name, {})
            if before and not str(before["FunctionArn"]).endswith(f":{ALIAS}"):
                remove_url(account, spec.name, {})
        found = find_url(account, spec.name, spec.qualifier)
    if not spec.has_url:
        if found:
            remove_url(account, spec.name, spec.qualifier)
            say("ended:   its address, which was not asked for again", to=echo)
        return ""
    doing = f"address of function {spec.name}"
    auth = url_call(spec).parameters["AuthType"]
    if found is None:
        found = account.send(url_call(spec), doing)
    elif found["AuthType"] != auth:
        account.send(url_call(spec, "UpdateFunctionUrlConfig"), doing)
        if not spec.is_public:
            _make_private(account, spec.name, spec.qualifier)
    for call in public_calls(spec):
        try:
            account.send(call, doing)
        except AwsError as error:
            if error.code != "ResourceConflictException":  # the statement is there already
                raise
    return str(found["FunctionUrl"])


def find_url(account: Account, name: str, qualifier: Mapping[str, str]) -> Mapping[str, Any] | None:
    """What GetFunctionUrlConfig answers."""
    call = on_function(name, "GetFunctionUrlConfig", **qualifier)
    return account.find(call, f"address of function {name}")


def remove_url(account: Account, name: str, qualifier: Mapping[str, str]) -> bool:
    """Take the address away, and everybody's right to use it; whether there was one."""
    call = on_function(name, "DeleteFunctionUrlConfig", **qualifier)
    is_gone = account.find(call, f"address of function {name}") is not None
    _make_private(account, name, qualifier)
    return is_gone


def _make_private(account: Account, name: str, qualifier: Mapping[str, str]) -> None:
    for call in private_calls(name, qualifier):
        account.find(call, f"address of function {name}")
