"""UpdatePolicy: the table [update]: how a new configuration takes over from the old one."""

import math
from dataclasses import dataclass
from typing import Literal

from control.aws.endpoint.fields import Fields
from control.aws.shapes import ALARM

Strategy = Literal["all-at-once", "canary", "linear", "rolling"]
STRATEGIES: tuple[Strategy, ...] = ("all-at-once", "canary", "linear", "rolling")
NAMES = ("strategy", "share", "wait_seconds", "keep_seconds", "alarms")
AUTO = "auto"  # alarms = "auto": kennel makes two for the endpoint
MOST_ALARMS = 10
LONGEST_SECONDS = 28_800  # of one update: MaximumExecutionTimeoutInSeconds
# Per cent of the machines. Source: API reference, TrafficRoutingConfig and RollingUpdatePolicy.
SHARES = {"all-at-once": (100, 100), "canary": (1, 50), "linear": (10, 50), "rolling": (5, 50)}
USUAL_SHARES = {"all-at-once": 100, "canary": 10, "linear": 25, "rolling": 50}
FEWEST = 2  # machines of which a part can go first: AWS takes half of them at most


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatePolicy:
    """Source: SageMaker developer guide, deployment guardrails."""

    strategy: Strategy = "all-at-once"
    share: int = 100  # per cent: the canary's, or each step's
    wait_seconds: int = 300  # between steps
    keep_seconds: int = 0  # the old machines stay for so long after the last step
    alarms: tuple[str, ...] = ()  # of CloudWatch; one that rings rolls back
    has_auto_alarms: bool = False

    @property
    def seconds(self) -> int:
        """How long the waits of an update take, besides the machines."""
        steps = {"all-at-once": 0, "canary": 1}.get(self.strategy, math.ceil(100 / self.share) - 1)
        return steps * self.wait_seconds + self.keep_seconds

    @property
    def starts(self) -> int:
        """How many times machines come up, one time after the other."""
        return math.ceil(100 / self.share) if self.strategy == "rolling" else 1

    def takes(self, machines: int) -> bool:
        """Whether AWS would update so many in this way: the least part of one is all of it."""
        return self.strategy == "all-at-once" or machines >= FEWEST


def update_policy_in(fields: Fields) -> UpdatePolicy:
    """The table [update]. Raises SpecError."""
    fields.known(NAMES)
    strategy = fields.one_of("strategy", STRATEGIES, "all-at-once")
    least, most = SHARES[strategy]
    is_auto = fields.table.get("alarms") == AUTO
    alarms = () if is_auto else fields.all_shaped("alarms", ALARM, MOST_ALARMS)
    policy = UpdatePolicy(
        strategy=strategy,  # type: ignore[arg-type]  # one_of has looked
        share=fields.whole("share", least, most, USUAL_SHARES[strategy]),
        wait_seconds=fields.whole("wait_seconds", 0, 3600, 300),
        keep_seconds=fields.whole("keep_seconds", 0, 3600, 0),
        alarms=alarms,
        has_auto_alarms=is_auto,
    )
    if policy.seconds > LONGEST_SECONDS - 600:
        raise fields.wrong(
            "wait_seconds",
            f"steps that take at most {LONGEST_SECONDS - 600} s together",
            f"{policy.seconds} s",
        )
    return policy
