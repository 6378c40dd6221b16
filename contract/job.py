"""What a person asks for (JobSpec), what one container sees (TrainingJob), what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from contract.hook_config import HookConfig
from contract.hyperparameters import ParsedHyperparameters
from contract.profiler_config import ProfilerConfig

InputMode = Literal["File", "FastFile", "Pipe"]

# Other people's names for our channels.
CHANNEL_ALIASES = {
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "testing": "test",
    "weights": "pretrained",
}
PICTURE_CHANNELS = ("train", "validation", "test")
CHANNELS = (*PICTURE_CHANNELS, "pretrained", "model")


def channel_name(name: str) -> str:
    """Our word for a channel: `valid`, `val` -> `validation`; unknown names stay as they are."""
    return CHANNEL_ALIASES.get(name.lower(), name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A named input: a folder (File, FastFile) as one container sees it."""

    name: str
    path: Path
    content_type: str | None = None
    input_mode: str = "File"
    distribution: str = "FullyReplicated"  # or ShardedByS3Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The hosts of a job. The first of the sorted hosts leads; names are SageMaker's choice."""

    current_host: str = "algo-1"
    hosts: tuple[str, ...] = ("algo-1",)
    network_interface: str = "eth0"

    @property
    def rank(self) -> int:
        """Position of this host, 0 to num_hosts - 1."""
        return sorted(self.hosts).index(self.current_host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Where a job leaves things; SageMaker packs model_dir and data_dir."""

    model_dir: Path
    data_dir: Path
    failure_file: Path
    checkpoint_dir: Path | None  # None: nobody asked for checkpoints
    tensors_dir: Path | None = None  # None: nothing of the Debugger or the profiler is asked for
    profiler_dir: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """What one container of a job sees."""

    name: str
    hyperparameters: ParsedHyperparameters
    channels: Mapping[str, Channel]  # by our names; unknown channels are left out
    ignored_channels: tuple[str, ...] = ()
    cluster: Cluster = field(default_factory=Cluster)
    outputs: Outputs
    hook: HookConfig | None = None  # None: no tensors are saved
    profiler: ProfilerConfig | None = None  # None: nothing is measured


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """How a job ended, in SageMaker's words."""

    name: str
    status: Literal["Completed", "Failed", "Stopped"]
    folder: Path
    model_dir: Path
    metrics: Mapping[str, float]
    failure_reason: str | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """True when the job completed."""
        return self.status == "Completed"
