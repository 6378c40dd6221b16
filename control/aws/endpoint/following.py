"""Following: an endpoint is waited for until it has settled, and what it became is explained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from contract.errors import HostError
from control.aws.account import Account
from control.aws.call import Call
from control.aws.endpoint.last_lines import endpoint_group, last_lines
from control.aws.endpoint.request import sagemaker_call
from control.aws.waiting import wait_for
from control.terminal import say

Described = dict[str, Any]  # AWS's answer to DescribeEndpoint
# Source: SageMaker API reference, DescribeEndpoint, EndpointStatus.
SETTLED = frozenset({"InService", "Failed", "UpdateRollbackFailed", "OutOfService"})
DELETING_SECONDS = 1800.0


class EndpointFailedError(HostError):
    """AWS could not make the endpoint, or took an update of it back. Safe to retry."""


@dataclass(slots=True, kw_only=True)
class Follower:
    """Waits for one endpoint and says each change once."""

    account: Account
    name: str
    look_again: str  # the command that does
    echo: TextIO
    _said: str = field(default="", init=False)

    def describe(self) -> Described | None:
        """AWS's answer; None when there is no such endpoint."""
        return self.account.find(_describing(self.name), f"endpoint {self.name}")

    def until_settled(self, limit_seconds: float) -> Described:
        """The answer when nothing moves any more. Raises HostError: the limit is over; AwsError."""
        return wait_for(
            lambda: self.account.send(_describing(self.name), f"endpoint {self.name}"),
            lambda answer: answer["EndpointStatus"] in SETTLED,
            what=f"endpoint {self.name}",
            limit_seconds=limit_seconds,
            look_again=self.look_again,
            on_answer=self._say,
        )

    def until_gone(self) -> None:
        """Raises HostError: the limit is over; AwsError."""
        wait_for(
            self.describe,
            lambda answer: answer is None,
            what=f"endpoint {self.name} being deleted",
            limit_seconds=DELETING_SECONDS,
            look_again=self.look_again,
            on_answer=lambda answer: self._say(answer) if answer else None,
        )

    def say_log(self) -> None:
        """The last lines that its containers wrote."""
        lines = last_lines(self.account, endpoint_group(self.name))
        if lines:
            say(f"log:     {endpoint_group(self.name)}, its last lines:", to=self.echo)
            say("\n".join(f"         {line}" for line in lines), to=self.echo)

    def _say(self, answer: Mapping[str, Any]) -> None:
        line = status_line(answer)
        if line != self._said:
            say(line, to=self.echo)
            self._said = line


def status_line(answer: Mapping[str, Any]) -> str:
    """`status:  Updating (main: Baking)`."""
    stages = [
        f"{variant['VariantName']}: {stage['Status']}"
        for variant in answer.get("ProductionVariants", ())
        for stage in variant.get("VariantStatus", ())
    ]
    beside = f" ({', '.join(stages)})" if stages else ""
    return f"status:  {answer['EndpointStatus']}{beside}"


def reason_of(answer: Mapping[str, Any]) -> str:
    """Why it failed, in AWS's words and in one line."""
    return " ".join(str(answer.get("FailureReason") or "AWS gives no reason").split())


# What AWS's reasons begin or end with -> what to do. Source: SageMaker developer guide,
# troubleshooting of deployments, and the sentences that users quote.
_ADVICE = (
    (
        "did not pass the ping health check",
        "the log says why the server does not start; a large model needs more aws.startup_seconds",
    ),
    (
        "capacity",
        "AWS has none of these machines free now: try again, another type or another region",
    ),
    (
        "Failed to download model data",
        "the role may not read the model, or it is in another region: `kennel iam show`",
    ),
    ("ModelDataDownloadTimeout", "raise aws.startup_seconds, or keep the model in this region"),
    ("out of memory", "take a type with more memory, or serverless.memory_mb"),
    ("CUDA", "image and host image do not fit: leave aws.ami out, `kennel doctor` checks both"),
    ("service limit", "`kennel doctor DEPLOYMENT.toml` lists the types that this account may have"),
)


def advice_for(reason: str) -> str:
    """What to do about a failure; empty when its reason is not one that we know."""
    small = reason.lower()
    return next((advice for words, advice in _ADVICE if words.lower() in small), "")


def _describing(name: str) -> Call:
    return sagemaker_call("DescribeEndpoint", EndpointName=name)
