"""Found: one thing in AWS that is ours, or looks as if it were, and what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from control.aws.tags import EXPIRES, NAME

Kind = Literal[
    "endpoint",
    "endpoint config",
    "model",
    "training job",
    "tuning job",
    "transform job",
    "instance",
    "function",
    "scaling policy",
    "scaling target",
    "alarm",
    "schedule",
    "log group",
    "role",
]
# Repositories of build_and_push.sh begin so: what runs such an image is ours, tagged or not.
OUR_IMAGES = "kennel-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What AWS says of one thing."""

    kind: Kind
    id: str  # as AWS's own calls name it
    name: str = ""  # of the job, deployment or function that it belongs to; "": nobody says
    what: str = ""  # e.g. "2 x ml.m5.large"
    state: str = ""  # AWS's word
    since: datetime | None = None
    expires: datetime | None = None
    per_hour: float | None = 0.0  # US dollars while it is there; None: no price is known
    ends_itself: bool = False  # with its job, whenever that is
    # What its deletion needs besides the id, and whose it is: "endpoint", "function" -> name.
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_billed(self) -> bool:
        """By the hour, asked or not."""
        return self.per_hour is None or self.per_hour > 0

    def so_far(self, now: datetime) -> float | None:
        """US dollars since it is there, at what an hour costs now; None: nobody knows."""
        if self.per_hour is None or self.since is None:
            return None if self.is_billed else 0.0
        return self.per_hour * max(0.0, (now - self.since).total_seconds()) / 3600

    def until_it_ends(self, now: datetime) -> float | None:
        """US dollars from now on; None when it has no end or no price."""
        if self.per_hour is None or self.expires is None:
            return None if self.is_billed else 0.0
        return self.per_hour * max(0.0, (self.expires - now).total_seconds()) / 3600

    def to_json(self, now: datetime) -> dict[str, Any]:
        """For `-o json`. Times are ISO 8601 in UTC."""
        return {
            "kind": self.kind,
            "id": self.id,
            "name": self.name,
            "what": self.what,
            "state": self.state,
            "since": _text(self.since),
            "expires": _text(self.expires),
            "ends_itself": self.ends_itself,
            "usd_per_hour": self.per_hour,
            "usd_so_far": self.so_far(now),
            "usd_until_it_ends": self.until_it_ends(now),
        }


def owner(tags: Mapping[str, str]) -> str:
    """Whose a thing with these tags is; empty for what is not ours."""
    return tags.get(NAME, "")


def expiry(tags: Mapping[str, str]) -> datetime | None:
    """When a scheduled deletion is due, by the tags. What cannot be read counts as never."""
    try:
        return utc(datetime.fromisoformat(tags[EXPIRES]))
    except (KeyError, ValueError):
        return None


def utc(moment: datetime) -> datetime:
    """In UTC; without a zone it is taken for that."""
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)


def moment(answer: Mapping[str, Any], *keys: str) -> datetime | None:
    """The first of these times that AWS gives."""
    found = (answer.get(key) for key in keys)
    return next((utc(one) for one in found if isinstance(one, datetime)), None)


def is_our_image(image: str) -> bool:
    """Whether an image is from one of our repositories, in whichever account."""
    return image.rpartition("/")[2].startswith(OUR_IMAGES)


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


def size(num_bytes: int) -> str:
    """`1.2 MB`; decimal, as AWS's prices count nearly."""
    amount = float(num_bytes)
    for unit in ("bytes", "KB", "MB"):
        if amount < 1000:
            return f"{amount:,.0f} {unit}" if unit == "bytes" else f"{amount:,.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} GB"


def dollars(amount: float | None) -> str:
    """`$0.46`, small ones with the digits that they need; `unknown` without a price."""
    if amount is None:
        return "unknown"
    if 0 < amount < 0.00005:
        return "<$0.0001"
    digits = 2 if amount >= 10 or not amount else 3 if amount >= 0.01 else 4
    return f"${amount:,.{digits}f}"
