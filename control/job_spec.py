"""JobSpec: what a person asks for, read from a TOML file that is checked before anything starts."""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from contract.aliases import resolve_aliases
from contract.errors import ChannelError, SpecError
from contract.hyperparameters import BY_NAME, parse_hyperparameters
from contract.job import CHANNEL_ALIASES, CHANNELS, channel_name
from contract.strict import nearest

# Source: SageMaker API reference, CreateTrainingJob, TrainingJobName.
NAME_PATTERN = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
DAY_SECONDS = 86_400  # SageMaker's own default for MaxRuntimeInSeconds


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One training job as a person describes it."""

    name: str  # letters, digits and hyphens, at most 63, as SageMaker wants it
    hyperparameters: Mapping[str, str] = field(default_factory=dict)  # as SageMaker sends them
    channels: Mapping[str, Path]  # our channel names -> folder, or one file
    max_run_seconds: int = DAY_SECONDS  # after that: SIGTERM, then SIGKILL

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.name):
            raise SpecError(
                f"name: expected at most 63 letters, digits and single hyphens, got {self.name!r}"
            )
        if not 1 <= self.max_run_seconds <= 28 * DAY_SECONDS:
            raise SpecError(
                "max_run_seconds: expected a whole number from 1 to "
                f"{28 * DAY_SECONDS} (28 days), got {self.max_run_seconds}"
            )
        if "train" not in self.channels:
            raise ChannelError(
                'no train channel: add train = "FOLDER" under [channels] or give '
                "--channel train=FOLDER"
            )
        for name, path in self.channels.items():
            _check_channel(name, path)
        parse_hyperparameters(self.hyperparameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line says on top of a TOML file."""

    name: str | None = None
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    channels: Mapping[str, Path] = field(default_factory=dict)  # relative to the current folder


def read_job_spec(path: Path, overrides: Overrides | None = None) -> JobSpec:
    """Read and check a job description. Channel paths in it are relative to the file.

    Raises SpecError, HyperparameterError or ChannelError: nothing was started then.
    """
    overrides = overrides or Overrides()
    data = _read_toml(path)
    known = [item.name for item in fields(JobSpec)]
    for key in data:
        if key not in known:
            raise SpecError(f"{path}: unknown name {key!r}{_hint(key, known)}")
    folders = {
        # normpath, for messages that a person can follow: jobs/../data becomes data.
        name: Path(os.path.normpath(path.parent / Path(text).expanduser()))
        for name, text in _channel_texts(path, _mapping(path, data, "channels")).items()
    }
    values = {
        name: _as_string(f"{path}: hyperparameters.{name}", value)
        for name, value in _mapping(path, data, "hyperparameters").items()
    }
    taken = _knobs(overrides.hyperparameters)
    kept = {name: value for name, value in values.items() if not _knobs({name: value}) & taken}
    limit = data.get("max_run_seconds", DAY_SECONDS)
    if type(limit) is not int:
        raise SpecError(f"{path}: max_run_seconds: expected a whole number, got {limit!r}")
    return JobSpec(
        name=overrides.name or _text(path, data, "name") or _name_from(path),
        hyperparameters={**kept, **overrides.hyperparameters},
        channels=_by_our_names(folders) | _by_our_names(overrides.channels),
        max_run_seconds=limit,
    )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"{path} does not exist: give the path of a job description") from None
    except IsADirectoryError:
        raise SpecError(f"{path} is a folder: give the path of a TOML file in it") from None
    except (OSError, ValueError) as error:
        raise SpecError(f"{path} cannot be read as TOML: {error}") from error


def _mapping(path: Path, data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise SpecError(f"{path}: {key}: expected a table, [{key}], got {value!r}")
    return value


def _text(path: Path, data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise SpecError(f"{path}: {key}: expected text in quotes, got {value!r}")
    return value


def _channel_texts(path: Path, table: Mapping[str, Any]) -> dict[str, str]:
    for name, value in table.items():
        if not isinstance(value, str):
            raise SpecError(f"{path}: channels.{name}: expected a path in quotes, got {value!r}")
        if value.startswith("s3://"):
            raise ChannelError(
                f"{path}: channels.{name}: {value} is in S3; a process reads folders"
            )
    return dict(table)


def _as_string(where: str, value: Any) -> str:
    """A TOML scalar as SageMaker would send it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        raise SpecError(f"{where}: expected one value, got {type(value).__name__}")
    return value if isinstance(value, str) else str(value)


def _by_our_names(given: Mapping[str, Path]) -> dict[str, Path]:
    """Channels by our names (`valid` -> `validation`). Two names for one channel are refused."""
    channels: dict[str, Path] = {}
    for name, path in given.items():
        ours = channel_name(name)
        if ours not in CHANNELS:
            raise ChannelError(
                f"channel {name!r}: expected one of {', '.join(CHANNELS)}"
                f"{_hint(name, (*CHANNELS, *CHANNEL_ALIASES))}"
            )
        if ours in channels:
            raise ChannelError(f"two channels mean {ours!r} (one of them {name!r}): give one")
        channels[ours] = path
    return channels


def _check_channel(name: str, path: Path) -> None:
    if not path.exists():
        raise ChannelError(
            f"channel {name!r}: {path} does not exist; give another with --channel {name}=FOLDER"
        )
    if path.is_dir() and not any(path.iterdir()):
        raise ChannelError(f"channel {name!r}: {path} is empty")


def _name_from(path: Path) -> str:
    """A job's name from its file's: `my_dogs.toml` -> `my-dogs`."""
    return re.sub(r"[^a-zA-Z0-9]+", "-", path.stem).strip("-")[:63].strip("-") or "job"


def _knobs(given: Mapping[str, str]) -> set[str]:
    """Our names of the knobs that `given` turns; `learning_rate` on the command line beats `lr`."""
    return set(resolve_aliases(dict(given), BY_NAME)[0])


def _hint(name: str, known: Iterable[str]) -> str:
    near = nearest(name, known)
    return f"; did you mean {near!r}?" if near else f"; known: {', '.join(known)}"
