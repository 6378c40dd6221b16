"""What a report tells beyond its rules: phases, shares, steps, outliers, loading, hosts.

Types only; `debugger.profile.summarize.summarize(profile)` computes them, and the first three
sentences are `debugger.profile.headlines.headlines(profile, results)`. Times are Unix seconds,
lengths are seconds, shares are percent of 0 to 100. A *node* is a process as smdebug's readers
name it (algo-1-26: host and process), a *host* is algo-1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from debugger.profile.data import FloatArray, Series

# What time is spent on, in words for people, in the order in which it is shown.
WAIT, COPY, FORWARD, BACKWARD = "waiting for data", "copy to device", "forward", "backward"
OPTIMIZER, REST = "optimizer", "rest of the step"
EVALUATION, CHECKPOINTS = "evaluation", "checkpoints"
FEATURES, DECODING = "feature pass", "decoding"
START_UP, BETWEEN, FINALIZATION = "before the first step", "between steps", "after the last step"
PARTS_OF_STEP = (WAIT, COPY, FORWARD, BACKWARD, OPTIMIZER, REST)
# What a process does for itself. In the optimizer those of a job wait for one another's gradients,
# and in the rest for their decision to go on.
OWN_PARTS = (WAIT, COPY, FORWARD, BACKWARD)
PARTS = (*PARTS_OF_STEP, BETWEEN, EVALUATION, CHECKPOINTS, FEATURES, DECODING, START_UP,
         FINALIZATION)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPhase:
    """A stretch of the job. Without steps there is one only: the job."""

    name: str  # start, initialization, training loop, finalization; or job
    started_at: float
    seconds: float
    percent: float  # of the job; all of them sum to 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How much time went into one of PARTS; exclusive, so that all of them sum to 100."""

    part: str  # one of PARTS
    seconds: float  # summed over the processes that train
    percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStatistics:
    """The steps of one process in one mode, from waiting for the batch to the end of the update."""

    node: str
    mode: str  # TRAIN, EVAL, GLOBAL
    starts: FloatArray  # (N,) ascending
    seconds: FloatArray  # (N,) of each step
    numbers: tuple[int, ...]  # (N,) step_num; -1 unknown
    mean: float
    minimum: float
    p50: float
    p95: float
    p99: float
    maximum: float
    parts: Mapping[str, float]  # PARTS_OF_STEP -> mean seconds of a step; those that were seen
    images_per_second: float | None  # None: the timeline does not say how large batches are

    @property
    def wait_percent(self) -> float:
        """The share of a step that is spent on waiting for its batch."""
        return 100.0 * self.parts.get(WAIT, 0.0) / self.mean if self.mean > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlier:
    """A step that took much longer than most, and what was different."""

    node: str
    mode: str
    step: int
    started_at: float
    seconds: float
    usual_seconds: float  # the median of its mode and process
    part: str  # of PARTS_OF_STEP: which part was longer than usual
    part_seconds: float  # what that part took
    part_usual_seconds: float
    cpu_percent: float | None  # of the host meanwhile, all cores; None: no sample
    io_wait_percent: float | None  # of its worst core
    cause: str  # one sentence: the part, and what the system did then


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """How one GPU and its host's CPU go together while training."""

    host: str
    gpu: str
    coefficient: float | None  # Pearson's, -1 to 1; None: one of them never changes
    num_samples: int
    # Shares of the samples, percent, sum to 100; low and high are the rules' thresholds.
    gpu_low_cpu_low: float
    gpu_low_cpu_high: float
    gpu_high_cpu_low: float
    gpu_high_cpu_high: float
    sentence: str  # what that means
    gpu_values: FloatArray  # (N,) percent
    cpu_values: FloatArray  # (N,) percent, the busiest core at the same moments


@dataclass(frozen=True, slots=True, kw_only=True)
class DataLoading:
    """How one process got its batches."""

    node: str
    num_workers: int | None  # as configured; None: the timeline does not say
    num_seen: int  # processes that loaded
    cores: int  # of the host
    pin_memory: bool | None
    batches: int
    wait_p50: float  # seconds that a step waited
    wait_p95: float
    load_p50: float | None  # seconds that a batch took where it was made; None: not recorded
    load_p95: float | None
    wait_percent: float  # of the time that steps take
    starved_percent: float  # share of the steps that waited for more than a tenth of their time
    workers_busy_percent: float | None  # share of the loop in which a worker makes a batch
    wait_seconds: FloatArray  # (N,) for a histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUse:
    """One host beside the others; None where it has no such metric."""

    host: str
    cores: int
    gpus: int
    cpu_mean: float | None  # percent of all cores
    cpu_p95: float | None
    io_wait_mean: float | None
    memory_max: float | None
    gpu_mean: float | None
    gpu_p95: float | None
    gpu_memory_max: float | None
    received_bytes: float | None  # over the network, in all
    sent_bytes: float | None
    read_bytes: float | None  # from disks
    written_bytes: float | None
    step_mean: float | None  # seconds of a training step, on average
    own_mean: float | None  # ... of it that is this host's own work: OWN_PARTS
    wait_percent: float | None
    cpu: Series | None  # mean over cores, for a curve
    gpu: Series | None
    slower_percent: float | None  # own_mean above the fastest host's; None with one host


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All of it."""

    phases: tuple[JobPhase, ...]
    shares: tuple[Share, ...]  # in the order of PARTS, those above 0; empty without a timeline
    steps: tuple[StepStatistics, ...]
    num_steps: Mapping[str, int]  # by mode, the most of any process
    outliers: tuple[Outlier, ...]  # the longest ones first, 50 at most
    num_outliers: int
    lost_to_outliers: float  # seconds above the usual, summed
    correlations: tuple[Correlation, ...]
    loading: tuple[DataLoading, ...]
    hosts: tuple[HostUse, ...]
    slow_host: str  # whose own work takes so much longer that the others wait; empty: none
