"""InstanceStatus: what an instance says of its job in status.json, and what EC2 says of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

STATUS_NAME, LOG_NAME, STOP_NAME = "status.json", "train.log", "stop"  # below the job, in S3
ENDED = frozenset({"Completed", "Failed", "Stopped"})
GONE = frozenset({"shutting-down", "terminated", "stopping", "stopped", "gone"})


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceStatus:
    """How far the script of job.sh is."""

    status: str = "InProgress"  # then Completed, Failed or Stopped
    at: str = "Waiting"  # Starting, Downloading, Training, Uploading, Ended
    exit_code: int | None = None  # of the container
    failure_reason: str = ""
    seconds: float = 0.0  # since the script began
    training_seconds: float = 0.0

    @property
    def has_ended(self) -> bool:
        """Whether these are the last words."""
        return self.status in ENDED

    @classmethod
    def from_bytes(cls, data: bytes) -> "InstanceStatus":
        """Lenient: the file is written by a shell, and another version may say more."""
        try:
            found = json.loads(data.decode("utf-8", "replace"), strict=False)
        except ValueError:
            return cls()
        if not isinstance(found, dict):
            return cls()
        code = found.get("exit_code")
        return cls(
            status=str(found.get("status", "InProgress")),
            at=str(found.get("at", "Starting")),
            exit_code=code if isinstance(code, int) else None,
            failure_reason=str(found.get("failure_reason") or ""),
            seconds=_number(found.get("seconds")),
            training_seconds=_number(found.get("training_seconds")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceState:
    """What EC2 says. `gone` is ours: it knows no instance of this job any more."""

    id: str = ""
    name: str  # pending, running, shutting-down, terminated, ...
    reason: str = ""

    @property
    def is_gone(self) -> bool:
        """Whether nothing more can come from it."""
        return self.name in GONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Both, as they were at one moment; what EC2 says was asked for first."""

    status: InstanceStatus
    state: InstanceState

    @property
    def has_ended(self) -> bool:
        """Whether looking again would show nothing new."""
        return self.status.has_ended or self.state.is_gone

    def verdict(
        self, *, was_stopped: bool
    ) -> tuple[Literal["Completed", "Failed", "Stopped"], str]:
        """How it ended, and unless all is well why.

        Args:
            was_stopped: somebody asked for it.
        """
        status, reason = self.status, self.status.failure_reason
        if status.status == "Completed":
            return "Completed", ""
        if status.status == "Stopped":
            return "Stopped", reason
        if status.status == "Failed":
            return "Failed", reason or "the instance gives no reason: see the end of its log"
        if was_stopped:
            return "Stopped", f"stopped while it was {status.at.lower()}; nothing was saved"
        told = f": {self.state.reason}" if self.state.reason else ""
        return "Failed", (
            f"the instance ended without a last word, after {status.at.lower()}{told}; the role "
            "may lack s3:PutObject for the output (`kennel iam show`), or its time was over"
        )


def state_of(answer: Mapping[str, Any]) -> InstanceState | None:
    """From DescribeInstances; None when there is none (yet, or any more)."""
    found = [one for group in answer.get("Reservations", ()) for one in group["Instances"]]
    if not found:
        return None
    one = found[-1]
    why = one.get("StateReason") or {}
    reason = str(why.get("Message") or one.get("StateTransitionReason") or "")
    return InstanceState(
        id=str(one["InstanceId"]),
        name=str(one["State"]["Name"]),
        reason=" ".join(reason.split()),
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
