"""ScalingSpec: the table [scaling] of a deployment: between how many instances, by which metric."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from contract.errors import SpecError
from control.aws.endpoint.fields import Fields

Metric = Literal[
    "invocations_per_instance",
    "concurrent_requests_per_model",
    "backlog_per_instance",
    "provisioned_utilization",
]
METRICS: tuple[Metric, ...] = get_args(Metric)
# Which metric says for an endpoint's kind how busy it is; the first one is the usual one.
# Source: SageMaker developer guide: Automatic scaling; Autoscale an asynchronous endpoint;
# Automatically scale Provisioned Concurrency; Set auto scaling policies for multi-model endpoints.
METRICS_OF: Mapping[str, tuple[Metric, ...]] = {
    "real-time": ("invocations_per_instance", "concurrent_requests_per_model"),
    "multi-model": ("invocations_per_instance",),
    "asynchronous": ("backlog_per_instance",),
    "serverless": ("provisioned_utilization",),
}
MEANINGS: Mapping[Metric, str] = {
    "invocations_per_instance": "requests a MINUTE that each instance gets, not a second",
    "concurrent_requests_per_model": "requests that each instance works on or holds at a time",
    "backlog_per_instance": "requests that wait in the queue, for each instance",
    "provisioned_utilization": "share of the provisioned concurrency in use, 0.1 to 0.9",
}
MOST_INSTANCES = 1000  # far above any usual quota: a slip of the finger
MOST_CONCURRENCY = 200  # Source: SageMaker API reference, ProductionVariantServerlessConfig
COOLDOWN_SECONDS = 300  # AWS's own, for variants. Source: Application Auto Scaling user guide
LONGEST_COOLDOWN_SECONDS = 3600
NAMES = ("min", "max", *METRICS, "scale_in_cooldown_seconds", "scale_out_cooldown_seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingSpec:
    """Target tracking between two bounds."""

    minimum: int = 1  # instances; of a serverless endpoint: provisioned concurrency
    maximum: int
    metric: Metric = "invocations_per_instance"
    target: float  # what MEANINGS says, which the policy keeps the metric at
    scale_in_cooldown_seconds: int = COOLDOWN_SECONDS
    scale_out_cooldown_seconds: int = COOLDOWN_SECONDS

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.maximum:
            raise SpecError(f"scaling: expected min <= max, got {self.minimum} and {self.maximum}")
        if not 1 <= self.maximum <= MOST_INSTANCES:
            raise SpecError(f"scaling.max: expected 1 to {MOST_INSTANCES}, got {self.maximum}")
        low, high = (0.1, 0.9) if self.metric == "provisioned_utilization" else (0.01, 1e6)
        if not low <= self.target <= high:
            raise SpecError(
                f"scaling.{self.metric}: expected {low:g} to {high:g} ({MEANINGS[self.metric]}), "
                f"got {self.target:g}"
            )
        for name in ("scale_in_cooldown_seconds", "scale_out_cooldown_seconds"):
            if not 0 <= getattr(self, name) <= LONGEST_COOLDOWN_SECONDS:
                raise SpecError(
                    f"scaling.{name}: expected 0 to {LONGEST_COOLDOWN_SECONDS}, "
                    f"got {getattr(self, name)}"
                )

    def check_kind(self, kind: str) -> None:
        """Raises SpecError: an endpoint of this kind cannot be scaled so."""
        allowed = METRICS_OF.get(kind)
        if allowed is None:
            raise SpecError(
                f"scaling: expected an endpoint ({' | '.join(METRICS_OF)}), got kind {kind!r}"
            )
        if self.metric not in allowed:
            raise SpecError(
                f"scaling.{self.metric}: endpoints of kind {kind} are scaled by "
                f"{' or '.join(allowed)} ({MEANINGS[allowed[0]]})"
            )
        if self.minimum < 1 and kind != "asynchronous":
            raise SpecError(
                "scaling.min: expected 1 or more: only an asynchronous endpoint may go down to 0 "
                f"instances, this one is {kind}"
            )
        if kind == "serverless" and self.maximum > MOST_CONCURRENCY:
            raise SpecError(
                f"scaling.max: expected at most {MOST_CONCURRENCY} provisioned, got {self.maximum}"
            )

    def check_concurrency(self, most: int, kept: int) -> None:
        """Raises SpecError: a serverless endpoint with these concurrencies cannot be scaled so.

        Args:
            most: requests that it answers at a time.
            kept: the provisioned ones of them, at first.
        """
        if not kept:
            raise SpecError(
                "scaling: a serverless endpoint without provisioned concurrency is scaled by AWS "
                "itself, from 0 to max_concurrency: leave [scaling] out, or set "
                "serverless.provisioned_concurrency"
            )
        if self.maximum > most:
            raise SpecError(
                f"scaling.max: expected at most max_concurrency, {most}, got {self.maximum}"
            )

    @property
    def line(self) -> str:
        """One line for a person."""
        bounds = f"{self.minimum} to {self.maximum}"
        return f"{bounds}, {self.metric} = {self.target:g} ({MEANINGS[self.metric]})"


def scaling_in(path: Path, table: Mapping[str, Any]) -> ScalingSpec:
    """The table [scaling] of the file `path`. Raises SpecError."""
    fields = Fields(path, "scaling", table).known(NAMES)
    given = [metric for metric in METRICS if metric in table]
    if len(given) != 1:
        raise SpecError(
            f"{path}: scaling: expected exactly one of {' | '.join(METRICS)}, "
            f"got {' and '.join(given) or 'none'}"
        )
    if "max" not in table:
        raise SpecError(f"{path}: scaling.max: expected the most instances, e.g. max = 3")
    (metric,) = given
    try:
        return ScalingSpec(
            minimum=fields.whole("min", 0, MOST_INSTANCES, 1),
            maximum=fields.whole("max", 1, MOST_INSTANCES, 1),
            metric=metric,
            target=fields.number(metric, 0.01, 1e6, 0.0),
            scale_in_cooldown_seconds=_cooldown(fields, "scale_in_cooldown_seconds"),
            scale_out_cooldown_seconds=_cooldown(fields, "scale_out_cooldown_seconds"),
        )
    except SpecError as error:
        told = str(error)
        raise SpecError(told if told.startswith(str(path)) else f"{path}: {told}") from None


def _cooldown(fields: Fields, name: str) -> int:
    return fields.whole(name, 0, LONGEST_COOLDOWN_SECONDS, COOLDOWN_SECONDS)
