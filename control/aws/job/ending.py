"""How a training job ended: its status, why, and what it cost, from DescribeTrainingJob."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from contract.errors import SpecError
from contract.metrics import METRIC_BY_NAME
from contract.rule_result import RuleResult
from contract.rules import FAIL, STOP, RuleSpec
from control.aws.prices import price_per_hour
from control.debug_request import debug_of_request
from control.rule_text import sentence
from control.terminal import duration

Status = Literal["Completed", "Failed", "Stopped"]
STATUSES: Mapping[str, Status] = {"Completed": "Completed", "Stopped": "Stopped"}  # else Failed
# What stands in FailureReason -> what to do about it.
_REMEDIES: tuple[tuple[str, str], ...] = (
    (r"exit code:? 137|out of memory|OutOfMemory", "the machine ran out of memory: take a smaller "
     "batch-size or a larger instance_type"),
    (r"CapacityError|[Ii]nsufficient capacity|Unable to provision",
     "AWS has none of these machines free: try again, another instance_type or region"),
    (r"[Nn]o S3 objects found|NoSuchKey|NoSuchBucket",
     "a channel is empty: look with `aws s3 ls`, fill it with `kennel data push`"),
    (r"AccessDenied|not authorized|[Pp]ermission|Forbidden",
     "the role lacks a right: `kennel iam show` prints what it needs"),
    (r"CannotPull|[Ii]mage.*(does not exist|not found|Cannot pull)",
     "the image is not there: push it with ./build_and_push.sh"),
    (r"No space left|ENOSPC", "the disk is full: give it a larger volume_gb"),
    (r"InternalServerError|InternalError", "an error of AWS's own: type it again"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What is charged. Source: SageMaker API reference, BillableTimeInSeconds."""

    instance_type: str
    instance_count: int
    is_spot: bool
    training_seconds: float | None  # wall clock, from the start of the machines to the upload
    billable_seconds: float | None  # of each machine; less than that for spot

    @property
    def usd(self) -> float | None:
        """By the table's price on demand: the discount of spot is in the seconds."""
        price = price_per_hour(self.instance_type, "training")
        if price is None or self.billable_seconds is None:
            return None
        return price * self.instance_count * self.billable_seconds / 3600

    @property
    def saving(self) -> float | None:
        """0 to 1 of the price on demand; None unless it was a spot job."""
        if not self.is_spot or not self.training_seconds or self.billable_seconds is None:
            return None
        return 1 - self.billable_seconds / self.training_seconds

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        usd, saving = self.usd, self.saving
        return {
            **asdict(self),
            "usd": None if usd is None else round(usd, 4),
            "saving": None if saving is None else round(saving, 4),
        }


def bill_of(found: Mapping[str, Any]) -> Bill:
    """From a description."""
    resources = found.get("ResourceConfig") or {}
    return Bill(
        instance_type=resources.get("InstanceType", ""),
        instance_count=resources.get("InstanceCount", 1),
        is_spot=bool(found.get("EnableManagedSpotTraining")),
        training_seconds=found.get("TrainingTimeInSeconds"),
        billable_seconds=found.get("BillableTimeInSeconds"),
    )


def bill_line(bill: Mapping[str, Any]) -> str:
    """`billed:  95 s x 2 ml.m5.xlarge, about $0.012; spot saved 69%`, from what run.json keeps."""
    seconds = bill.get("billable_seconds")
    if seconds is None:
        return "billed:  AWS has not said yet"
    parts = [f"billed:  {seconds:.0f} s"]
    if bill.get("training_seconds"):
        parts.append(f" of {bill['training_seconds']:.0f} s")
    parts.append(f" x {bill.get('instance_count', 1)} {bill.get('instance_type', '')}")
    usd, saving = bill.get("usd"), bill.get("saving")
    parts.append(", at no known price" if usd is None else f", about ${usd:,.4f}")
    if saving is not None:
        parts.append(f"; spot saved {saving:.0%}")
    return "".join(parts)


def status_of(found: Mapping[str, Any], rules: Sequence[RuleResult]) -> Status:
    """SageMaker's, except that a rule with the action `fail` makes it Failed, as it does here."""
    status = STATUSES.get(found["TrainingJobStatus"], "Failed")
    return "Failed" if status == "Completed" and _acted(found, rules, FAIL) else status


def reason_of(found: Mapping[str, Any], rules: Sequence[RuleResult]) -> str | None:
    """Why it did not complete, and what to do, in one line. None: it completed."""
    status, secondary = found["TrainingJobStatus"], found.get("SecondaryStatus")
    if status == "Completed":
        failed_by = _acted(found, rules, FAIL)
        return (
            f"{failed_by}; the training itself completed, its model is kept" if failed_by else None
        )
    told = " ".join(str(found.get("FailureReason") or "").split())
    if status == "Failed":
        return _with_remedy(told or "AWS gives no reason: see the end of its log")
    if secondary == "MaxRuntimeExceeded":
        return "stopped: max_run_seconds is over; what was saved is kept"
    if secondary == "MaxWaitTimeExceeded":
        return (
            "stopped: it waited for spot machines longer than max_wait_seconds; type it again, or "
            "go without spot"
        )
    if stopped_by := _acted(found, rules, STOP):
        return f"stopped by {stopped_by}"
    return told or f"stopped after {duration(seconds_of(found))}; what was saved is kept"


def seconds_of(found: Mapping[str, Any]) -> float:
    """From its creation to its end."""
    began, ended = found.get("CreationTime"), found.get("TrainingEndTime")
    ended = ended or found.get("LastModifiedTime")
    return max(0.0, (ended - began).total_seconds()) if began and ended else 0.0


def final_metrics(found: Mapping[str, Any]) -> dict[str, float]:
    """Those of our table that AWS read from the log."""
    listed = found.get("FinalMetricDataList") or []
    return {
        one["MetricName"]: float(one["Value"])
        for one in listed
        if one["MetricName"] in METRIC_BY_NAME
    }


def rules_of(found: Mapping[str, Any]) -> tuple[RuleSpec, ...]:
    """The rules that the job was created with; none where we do not know them."""
    try:
        return debug_of_request(found).rules
    except SpecError:
        return ()


def _acted(found: Mapping[str, Any], results: Sequence[RuleResult], action: str) -> str:
    """The first rule that found something and was told to act so, and why; else empty."""
    acting = {rule.name for rule in rules_of(found) if action in {one.name for one in rule.actions}}
    fired = [one for one in results if one.status == "IssuesFound" and one.name in acting]
    return f"rule {fired[0].name}: {sentence(fired[0])}" if fired else ""


def _with_remedy(told: str) -> str:
    remedy = next((text for pattern, text in _REMEDIES if re.search(pattern, told)), "")
    return f"{told}; {remedy}" if remedy else told
