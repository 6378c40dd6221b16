"""The only file that knows the layout of /opt/ml: read_job, write_job, the failure file.

Source: CONTRACT A.3 to A.6; SageMaker developer guide, your-algorithms-training-algo.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.errors import ChannelError, JobError
from contract.files import read_json, write_json, write_text
from contract.hook_config import HookConfig
from contract.hyperparameters import parse_hyperparameters
from contract.job import CHANNELS, Channel, Cluster, Outputs, TrainingJob, channel_name
from contract.profiler_config import ProfilerConfig
from contract.strict import FALSE_WORDS

DEFAULT_BASE = Path("/opt/ml")
HOOK_NAME, PROFILER_NAME = "debughookconfig.json", "profilerconfig.json"
PROCESSING_CONFIG = Path("config") / "processingjobconfig.json"
FAILURE_CHARACTERS = 1024  # SageMaker keeps no more as FailureReason


def base_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """/opt/ml, or where SAGEMAKER_BASE_DIR moves it."""
    return Path(environment.get("SAGEMAKER_BASE_DIR") or DEFAULT_BASE)


@dataclass(frozen=True, slots=True)
class OptMl:
    """The paths below one base directory."""

    base: Path

    @property
    def config_dir(self) -> Path:
        """Where SageMaker writes what the job was told."""
        return self.base / "input" / "config"

    @property
    def data_dir(self) -> Path:
        """One folder a channel."""
        return self.base / "input" / "data"

    @property
    def model_dir(self) -> Path:
        """Becomes model.tar.gz."""
        return self.base / "model"

    @property
    def output_data_dir(self) -> Path:
        """Becomes output.tar.gz."""
        return self.base / "output" / "data"

    @property
    def failure_file(self) -> Path:
        """Its first 1,024 characters become FailureReason."""
        return self.base / "output" / "failure"

    @property
    def tensors_dir(self) -> Path:
        """What the Debugger's hook saves, where SageMaker looks for it."""
        return self.base / "output" / "tensors"

    @property
    def profiler_dir(self) -> Path:
        """System metrics and timeline, where SageMaker looks for them."""
        return self.base / "output" / "profiler"

    @property
    def success_file(self) -> Path:
        """What the training toolkit leaves after a success."""
        return self.base / "output" / "success"


def is_job_present(base: Path) -> bool:
    """True when SageMaker, or a runner of ours, has laid out a job below `base`."""
    return OptMl(base).config_dir.is_dir()


def is_processing_present(base: Path) -> bool:
    """True when SageMaker has laid out a processing job below `base`: a rule of the Debugger."""
    return (base / PROCESSING_CONFIG).is_file()


def read_job(base: Path, environment: Mapping[str, str] = os.environ) -> TrainingJob:
    """Read the job that SageMaker laid out below `base`. Missing files count as empty.

    Raises:
        HyperparameterError: an unknown name or a wrong value.
        ChannelError: two channels mean the same (`val` and `valid`), or one uses Pipe mode.
        JobError: a config file is not JSON.
    """
    paths = OptMl(base)
    raw = _read_config(paths, "hyperparameters.json")
    channels, ignored = _read_channels(paths)
    return TrainingJob(
        name=environment.get("TRAINING_JOB_NAME") or "local",
        hyperparameters=parse_hyperparameters({key: _as_text(raw[key]) for key in raw}),
        channels=channels,
        ignored_channels=ignored,
        cluster=_read_cluster(paths),
        outputs=Outputs(
            model_dir=paths.model_dir,
            data_dir=paths.output_data_dir,
            failure_file=paths.failure_file,
            checkpoint_dir=_read_checkpoint_dir(paths),
            tensors_dir=paths.tensors_dir,
            profiler_dir=paths.profiler_dir,
        ),
        hook=_read_hook(paths, environment),
        profiler=_read_profiler(paths),
    )


def write_job(
    base: Path,
    hyperparameters: Mapping[str, str],
    channels: Mapping[str, Path],
    *,
    hosts: tuple[str, ...] = ("algo-1",),
    current_host: str = "algo-1",
    checkpoints: bool = True,
    mounted_at: Path | None = None,
    hook: HookConfig | None = None,
    profiler: ProfilerConfig | None = None,
) -> None:
    """Lay out a job below `base` as SageMaker does; channels become links to their folders.

    The same call serves the process and the container runner; `mounted_at` is where a container
    finds what is `base` out here.
    """
    paths = OptMl(base)
    for folder in (paths.data_dir, paths.model_dir, paths.output_data_dir):
        folder.mkdir(parents=True, exist_ok=True)
    write_json(paths.config_dir / "hyperparameters.json", dict(hyperparameters))
    write_json(paths.config_dir / "inputdataconfig.json", _input_config(channels))
    write_json(
        paths.config_dir / "resourceconfig.json",
        {
            "current_host": current_host,
            "hosts": sorted(hosts),
            "current_instance_type": "local",
            "current_group_name": "homogeneousCluster",
            "network_interface_name": "eth0",
        },
    )
    if hook is not None:
        write_json(paths.config_dir / HOOK_NAME, hook.to_json())
    if profiler is not None:
        write_json(paths.config_dir / PROFILER_NAME, profiler.to_json())
    if checkpoints:
        (base / "checkpoints").mkdir(exist_ok=True)
        write_json(
            paths.config_dir / "checkpointconfig.json",
            {"LocalPath": str((mounted_at or base) / "checkpoints")},
        )
    _link_channels(paths, channels)


def _input_config(channels: Mapping[str, Path]) -> dict[str, Any]:
    return {
        name: {
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        }
        for name in channels
    }


def _link_channels(paths: OptMl, channels: Mapping[str, Path]) -> None:
    for name, source in channels.items():
        link = paths.data_dir / name
        if not link.is_symlink():
            link.symlink_to(source.resolve(), target_is_directory=source.is_dir())


def write_failure(path: Path, reason: str) -> None:
    """Write FailureReason: message first, at most 1,024 characters, never over an earlier one."""
    if not path.exists():
        write_text(path, reason[:FAILURE_CHARACTERS])


def _read_config(paths: OptMl, name: str) -> dict[str, Any]:
    path = paths.config_dir / name
    return _read_object(path) if path.exists() else {}


def _read_object(path: Path) -> dict[str, Any]:
    value = read_json(path, JobError)
    if not isinstance(value, dict):
        raise JobError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def _as_text(value: Any) -> str:
    """SageMaker sends strings only; hand-written files may hold numbers and booleans."""
    return value if isinstance(value, str) else json.dumps(value)


def _read_channels(paths: OptMl) -> tuple[dict[str, Channel], tuple[str, ...]]:
    config = _read_config(paths, "inputdataconfig.json")
    present = {item.name for item in paths.data_dir.iterdir()} if paths.data_dir.is_dir() else set()
    folders = {name for name in present if (paths.data_dir / name).is_dir()}
    channels: dict[str, Channel] = {}
    ignored: list[str] = []
    for given in sorted(config.keys() | folders):
        name = channel_name(given)
        settings = config.get(given) or {}
        if name not in CHANNELS:
            ignored.append(given)
            continue
        if name in channels:
            raise ChannelError(
                f"channels {channels[name].path.name!r} and {given!r} both mean {name!r}: give one"
            )
        if settings.get("TrainingInputMode") == "Pipe":
            raise ChannelError(
                f"channel {given!r} uses input mode Pipe: use File or FastFile, we read folders"
            )
        channels[name] = Channel(
            name=name,
            path=paths.data_dir / given,
            content_type=settings.get("ContentType"),
            input_mode=settings.get("TrainingInputMode", "File"),
            distribution=settings.get("S3DistributionType", "FullyReplicated"),
        )
    return channels, tuple(ignored)


def _read_cluster(paths: OptMl) -> Cluster:
    config = _read_config(paths, "resourceconfig.json")
    current = config.get("current_host", "algo-1")
    hosts = tuple(config.get("hosts") or (current,))
    if current not in hosts:
        raise JobError(f"resourceconfig.json: current_host {current!r} is not among hosts {hosts}")
    return Cluster(
        current_host=current,
        hosts=hosts,
        network_interface=config.get("network_interface_name", "eth0"),
    )


def _read_checkpoint_dir(paths: OptMl) -> Path | None:
    """The checkpoint path when the job asked for one; the default folder counts when it exists."""
    config = _read_config(paths, "checkpointconfig.json")
    if config.get("LocalPath"):
        return Path(config["LocalPath"])
    default = paths.base / "checkpoints"
    return default if default.is_dir() else None


def _read_hook(paths: OptMl, environment: Mapping[str, str]) -> HookConfig | None:
    """None: no file, or USE_SMDEBUG says no. The SDK's `debugger_hook_config=False` sets that."""
    path = Path(environment.get("SMDEBUG_CONFIG_FILE_PATH") or paths.config_dir / HOOK_NAME)
    is_wanted = environment.get("USE_SMDEBUG", "1").strip().lower() not in FALSE_WORDS
    return HookConfig.from_json(_read_object(path)) if path.exists() and is_wanted else None


def _read_profiler(paths: OptMl) -> ProfilerConfig | None:
    path = paths.config_dir / PROFILER_NAME
    config = ProfilerConfig.from_json(_read_object(path)) if path.exists() else None
    return None if config is None or config.is_disabled else config
