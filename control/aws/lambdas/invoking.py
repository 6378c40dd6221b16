"""Invoking: one event to the function in AWS, its answer, and what Lambda measured."""

import base64
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contract.errors import HostError, RequestError, UsageError
from control.aws.account import Account
from control.aws.call import Call
from control.aws.lambdas.function_spec import ALIAS, log_group_of
from control.aws.lambdas.requests import on_function
from control.aws.waiting import poll_seconds
from control.aws_client import AwsError, aws_errors

# Lambda's last log line of an invocation, e.g. `Billed Duration: 13 ms`.
_MEASURED = re.compile(r"((?:[A-Z]\w+ )*[A-Z]\w+): ([\d.]+) (ms|MB)")
NAMES = {
    "Duration": "duration_ms",
    "Billed Duration": "billed_ms",
    "Init Duration": "init_ms",  # a cold start's
    "Max Memory Used": "memory_used_mb",
    "Memory Size": "memory_mb",
}
LOG_LINES = 5
SPARE_SECONDS = 30.0  # a cold start, which does not count as the function's time, and the way
BUSY = frozenset({"TooManyRequestsException", "ThrottlingException", "Throttling"})
BUSY_TRIES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoked:
    """What the function said, as it said it."""

    status: int
    body: str
    measured: Mapping[str, float] = field(default_factory=dict)

    def answer(self) -> dict[str, Any]:
        """The prediction. Raises RequestError with the function's own words."""
        try:
            document = json.loads(self.body)
            if self.status == 200:
                (prediction,) = document["predictions"]
                return dict(prediction)
            message = str(document["message"])
        except (ValueError, KeyError, TypeError):
            message = f"the function answered {self.status}: {self.body[:200]!r}"
        raise RequestError(self.status, message)


def invoke_call(name: str, event: Mapping[str, Any], *, is_live: bool) -> Call:
    """Invoke, with the end of the log in the answer."""
    qualifier = {"Qualifier": ALIAS} if is_live else {}
    return on_function(
        name, "Invoke", **qualifier, LogType="Tail", Payload=json.dumps(event).encode()
    )


def invoke(
    account: Account, name: str, event: Mapping[str, Any], *, spare_seconds: float = SPARE_SECONDS
) -> Invoked:
    """The alias `live` where there is one. It runs once, however long it takes.

    Args:
        spare_seconds: that an answer may take longer than the function itself.

    Raises UsageError: there is no function. AwsError, HostError: it failed.
    """
    doing = f"function {name}"
    found = account.find(on_function(name, "GetFunction"), doing)
    if found is None:
        raise UsageError(
            f"there is no function {name} in {account.region}: "
            f"`kennel lambda deploy {name} --endpoint ENDPOINT` makes it"
        )
    is_live = account.find(on_function(name, "GetAlias", Name=ALIAS), doing) is not None
    limit = float(found["Configuration"]["Timeout"]) + spare_seconds
    said = _send(account, invoke_call(name, event, is_live=is_live), doing, limit)
    with aws_errors(doing):
        payload = said["Payload"].read()
    log = base64.b64decode(said.get("LogResult", "")).decode("utf-8", "replace")
    if said.get("FunctionError"):
        lines = [line.strip() for line in log.splitlines() if line.strip()]
        lines = [line for line in lines if not line.startswith(("START ", "END ", "REPORT "))]
        told = " | ".join(lines[-LOG_LINES:])
        raise HostError(
            f"function {name} failed: {_why(payload)}; its log ends: {told or 'empty'}; "
            f"`aws logs tail {log_group_of(name)}` shows the rest"
        )
    return read_answer(payload, measured_in(log))


def _send(account: Account, call: Call, doing: str, within_seconds: float) -> dict[str, Any]:
    """Again only when Lambda says that it did not run, for too many run at once."""
    for tries_left in reversed(range(BUSY_TRIES)):
        try:
            return account.send_once(call, doing, within_seconds)
        except AwsError as error:
            if error.code == "":
                raise AwsError(
                    f"{error}; it was asked once and may have run: its log is "
                    f"{log_group_of(call.parameters['FunctionName'])}"
                ) from None
            if error.code not in BUSY or not tries_left:
                raise
        time.sleep(poll_seconds())
    raise AssertionError("the last try returns or raises")


def read_answer(payload: bytes, measured: Mapping[str, float]) -> Invoked:
    """Raises HostError: whatever answered is not our function."""
    try:
        found = json.loads(payload)
        return Invoked(status=int(found["statusCode"]), body=found["body"], measured=measured)
    except (ValueError, KeyError, TypeError):
        told = payload[:200].decode("utf-8", "replace")
        raise HostError(f"the function does not answer as kennel's does: {told!r}") from None


def measured_in(log: str) -> dict[str, float]:
    """What the last REPORT line of a log says, by our names."""
    lines = [line for line in log.splitlines() if line.startswith("REPORT ")]
    found = _MEASURED.findall(lines[-1]) if lines else []
    return {NAMES[name]: float(number) for name, number, _ in found if name in NAMES}


def _why(payload: bytes) -> str:
    try:
        return str(json.loads(payload)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return payload[:200].decode("utf-8", "replace") or "no reason"
