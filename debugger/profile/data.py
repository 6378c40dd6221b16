"""Profile: what the profiler of one job wrote, in memory; rules and report read nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Metrics of system files, as (Type, Dimension or Name) is written in them.
CPU, CPU_WAIT = "CPUUtilization", "I/OWaitPercentage"
GPU, GPU_MEMORY = "GPUUtilization", "GPUMemoryUtilization"
MEMORY = "MemoryUsedPercent"
IO = ("IOPS", "ReadThroughputInBytesPerSecond", "WriteThroughputInBytesPerSecond")
NETWORK = ("ReceiveBytesPerSecond", "TransmitBytesPerSecond")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One metric of one thing (cpu0, gpu1, ...) of one node over time."""

    times: FloatArray  # (N,) Unix seconds, ascending
    values: FloatArray  # (N,) percent, bytes a second, or operations a second


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMetrics:
    """What the host agent of one node saw: metric -> name (cpu0, gpu0, ...) -> series.

    Network series are those of the dimension Algorithm, with the name of the metric.
    """

    series: Mapping[str, Mapping[str, Series]] = field(default_factory=dict)

    def of(self, metric: str) -> Mapping[str, Series]:
        """By name; empty where the node has none, as a host without a GPU."""
        return self.series.get(metric, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """The timeline of all nodes: N spans in the order of their start. Arrays of equal length."""

    starts: FloatArray  # (N,) Unix seconds
    seconds: FloatArray  # (N,) how long each took
    phases: NDArray[np.object_]  # (N,) event_phase: Step:ModeKeys.TRAIN, Forward, cpu_functions
    names: NDArray[np.object_]  # (N,) event_name
    nodes: NDArray[np.object_]  # (N,) algo-1-26 as smdebug's readers say it: host and process
    pids: NDArray[np.int64]  # (N,) of the process that did it; -1 unknown
    steps: NDArray[np.int64]  # (N,) -1 unknown
    arguments: tuple[Mapping[str, object], ...]  # (N,) all of the event's `args`

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Everything under one or several profiler folders of a job."""

    system: Mapping[str, NodeMetrics]  # by node: algo-1, algo-2, ...
    events: Events
    first_file_at: float  # Unix seconds; start of the minute of the first system file
    started_at: float  # of the first sample or event
    ended_at: float  # of the last sample, or the last event's end
    has_ended: bool  # training_job_end.ts is there
    notes: tuple[str, ...] = ()  # what could not be read, and why
    # Cores that a host's processes may use at once, where that is less than it has; by node.
    cpu_limits: Mapping[str, float] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()  # where it was read: system/ and framework/ lie below each

    @property
    def seconds(self) -> float:
        """From the first sample to the last."""
        return self.ended_at - self.started_at
