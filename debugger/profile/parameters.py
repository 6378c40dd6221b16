"""What each of the rules is told: AWS's names and defaults (contract.profile_rules)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TypeVar

from contract.profile_rules import SCAN_INTERVAL_US
from contract.rule_parameter import ParameterValue

LEAST_SAMPLES = 8  # fewer say nothing about how a machine is used

P = TypeVar("P", bound="Parameters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What every rule is told; those of a rule are fields of a subclass."""

    scan_interval_us: int = SCAN_INTERVAL_US
    given: frozenset[str] = frozenset()  # names that somebody asked for: they are not fitted

    @classmethod
    def of(cls: type[P], values: Mapping[str, ParameterValue], given: Iterable[str]) -> P:
        """From RuleSpec.values() and RuleSpec.parameters."""
        ours = {one.name: values[one.name] for one in fields(cls) if one.name in values}
        return cls(given=frozenset(given), **ours)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuBottleneck(Parameters):
    """Percent, and samples."""

    threshold: int = 50
    cpu_threshold: int = 90
    gpu_threshold: int = 10
    patience: int = 1000

    @property
    def busy_threshold(self) -> int:
        """Above it a core works."""
        return self.cpu_threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class IoBottleneck(Parameters):
    """Percent, and samples."""

    threshold: int = 50
    io_threshold: int = 50
    gpu_threshold: int = 10
    patience: int = 1000

    @property
    def busy_threshold(self) -> int:
        """Above it a core waits."""
        return self.io_threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class LowGpuUtilization(Parameters):
    """Percent, and samples."""

    threshold_p95: int = 70
    threshold_p5: int = 10
    window: int = 500
    patience: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutlier(Parameters):
    """`threshold` is of no effect."""

    threshold: float = 3
    mode: str | None = None
    n_outliers: int = 10
    stddev: float = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuMemoryIncrease(Parameters):
    """Percentage points, and samples."""

    increase: int = 5
    patience: int = 1000
    window: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSize(Parameters):
    """Percent, and samples."""

    cpu_threshold_p95: int = 70
    gpu_threshold_p95: int = 70
    gpu_memory_threshold_p95: int = 70
    patience: int = 1000
    window: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxInitializationTime(Parameters):
    """Minutes."""

    threshold: float = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancing(Parameters):
    """A distance of histograms, and samples."""

    threshold: float = 0.2
    patience: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataloader(Parameters):
    """Percent of the cores, and seconds with loading."""

    min_threshold: int = 70
    max_threshold: int = 200
    patience: int = 10


def fit_patience(patience: int, parameters: Parameters, num_samples: int) -> tuple[int, str]:
    """Samples to have seen, and what to say about it.

    AWS's 1000 samples are more than eight minutes. A short job is judged by a quarter of what it
    has, unless somebody asked for a number.
    """
    fitted = min(patience, max(LEAST_SAMPLES, num_samples // 4))
    if "patience" in parameters.given or fitted == patience:
        return patience, ""
    return fitted, f"patience {patience} is fitted to {fitted} for {num_samples} samples"
