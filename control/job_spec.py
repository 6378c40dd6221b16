"""JobSpec: what a person asks for, read from a TOML file that is checked before anything starts."""

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.aliases import resolve_aliases
from contract.errors import ChannelError, SpecError
from contract.hyperparameters import BY_NAME, parse_hyperparameters
from contract.job import CHANNEL_ALIASES, CHANNELS, channel_name
from contract.ranges import only_known
from contract.strict import nearest
from control.aws.ec2.ec2_place import Ec2Place, read_ec2_place
from control.aws_place import AwsPlace, read_aws_place
from control.debug_flags import DebugFlags
from control.debug_spec import DebugSpec
from control.debug_tables import TABLES, debug_in
from control.s3 import SCHEME, S3Uri, Source
from control.toml_file import as_string, read_toml, table_in, text_in

# Source: SageMaker API reference, CreateTrainingJob, TrainingJobName.
NAME_PATTERN = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
PLAIN = ("name", "hyperparameters", "channels", "max_run_seconds", "aws", "ec2")
DAY_SECONDS = 86_400  # SageMaker's own default for MaxRuntimeInSeconds


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One training job as a person describes it."""

    name: str  # letters, digits and hyphens, at most 63, as SageMaker wants it
    hyperparameters: Mapping[str, str] = field(default_factory=dict)  # as SageMaker sends them
    channels: Mapping[str, Source]  # our channel names -> folder, one file, or a place in S3
    max_run_seconds: int = DAY_SECONDS  # after that: SIGTERM, then SIGKILL
    debug: DebugSpec = field(default_factory=DebugSpec)
    aws: AwsPlace | None = None  # where in AWS it runs when it is told to
    ec2: Ec2Place = field(default_factory=Ec2Place)  # what differs outside of SageMaker

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
        for name, source in self.channels.items():
            if isinstance(source, Path):
                _check_channel(name, source)
        parse_hyperparameters(self.hyperparameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line says on top of a TOML file."""

    name: str | None = None
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    channels: Mapping[str, Source] = field(default_factory=dict)  # paths from the current folder
    debug: DebugFlags = field(default_factory=DebugFlags)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFile:
    """A job description as it is written: nothing was looked for yet."""

    name: str
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    channels: Mapping[str, Source] = field(default_factory=dict)  # by our names
    max_run_seconds: int = DAY_SECONDS
    debug: DebugSpec = field(default_factory=DebugSpec)  # as written
    aws: AwsPlace | None = None
    ec2: Ec2Place = field(default_factory=Ec2Place)


def read_job_spec(
    path: Path, overrides: Overrides | None = None, *, in_aws: bool = False
) -> JobSpec:
    """Read and check a job description. Channel paths in it are relative to the file.

    With `in_aws` every channel is in S3: [aws.channels] beats [channels], the command line both.
    Raises SpecError, HyperparameterError or ChannelError: nothing was started then.
    """
    overrides = overrides or Overrides()
    written = read_job_file(path)
    more = by_our_names(overrides.channels)
    channels = {**written.channels, **more}
    if in_aws:
        channels = {**channels_in_aws(path, written, more)}
    return JobSpec(
        name=overrides.name or written.name,
        hyperparameters=combine(written.hyperparameters, overrides.hyperparameters),
        channels=channels,
        max_run_seconds=written.max_run_seconds,
        debug=overrides.debug.on(written.debug).completed(),
        aws=written.aws,
        ec2=written.ec2,
    )


def read_job_file(path: Path) -> JobFile:
    """Read a job description; its channels need not exist. Raises SpecError or ChannelError."""
    data = read_toml(path)
    only_known(str(path), data, (*PLAIN, *TABLES))
    limit = data.get("max_run_seconds", DAY_SECONDS)
    if type(limit) is not int:
        raise SpecError(f"{path}: max_run_seconds: expected a whole number, got {limit!r}")
    return JobFile(
        name=text_in(path, data, "name") or name_from(path),
        hyperparameters=hyperparameters_in(path, data),
        channels=channels_in(path, data),
        max_run_seconds=limit,
        debug=debug_in(path, data),
        aws=read_aws_place(path, table_in(path, data, "aws")) if "aws" in data else None,
        ec2=read_ec2_place(path, table_in(path, data, "ec2")),
    )


def channels_in_aws(path: Path, written: JobFile, more: Mapping[str, Source]) -> dict[str, S3Uri]:
    """Where a job in AWS finds its channels; `more` comes from the command line.

    Raises SpecError: the file has no [aws]; ChannelError: a channel is on this machine alone.
    """
    if written.aws is None:
        raise SpecError(
            f"{path}: --on aws needs a table [aws] that says at least where results go, "
            'output = "s3://BUCKET/kennel": see jobs/dogs_aws.toml'
        )
    in_s3 = {name: S3Uri.parse(uri) for name, uri in written.aws.channels.items()}
    found: dict[str, S3Uri] = {}
    for name, source in {**written.channels, **in_s3, **more}.items():
        if isinstance(source, Path):
            to = f"{SCHEME}{S3Uri.parse(written.aws.output).bucket}/{written.name}/{name}"
            raise ChannelError(
                f"channel {name!r}: {source} is on this machine: type `kennel data push {source} "
                f'{to}`, and write {name} = "{to}" under [aws.channels]'
            )
        found[name] = source.file_or_folder()
    return found


def hyperparameters_in(path: Path, data: Mapping[str, Any]) -> dict[str, str]:
    """The table [hyperparameters] as SageMaker would send it. Raises SpecError."""
    return {
        name: as_string(f"{path}: hyperparameters.{name}", value)
        for name, value in table_in(path, data, "hyperparameters").items()
    }


def channels_in(path: Path, data: Mapping[str, Any]) -> dict[str, Source]:
    """The table [channels] by our names; paths in it are relative to the file."""
    return by_our_names(
        {
            name: channel_source(text, path.parent)
            for name, text in _channel_texts(path, table_in(path, data, "channels")).items()
        }
    )


def channel_source(text: str, folder: Path | None = None) -> Source:
    """What a channel's text names: an address in S3, or a path, relative to `folder`.

    Raises UsageError for an address without a bucket.
    """
    if text.startswith(SCHEME):
        return S3Uri.parse(text)
    path = Path(text).expanduser()
    # normpath, for messages that a person can follow: jobs/../data becomes data.
    return Path(os.path.normpath(folder / path)) if folder else path


def flag_words(flag: str, pairs: Iterable[tuple[str, str]]) -> str:
    """` --channel train=DIR`, for a command that goes on with what this one was given."""
    return "".join(f" {flag} {shlex.quote(f'{name}={text}')}" for name, text in pairs)


def combine(given: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """`given` without the knobs that `more` turns, under whichever name, and then `more`."""
    taken = _knobs(more)
    kept = {name: value for name, value in given.items() if not _knobs({name: value}) & taken}
    return {**kept, **more}


def _channel_texts(path: Path, table: Mapping[str, Any]) -> dict[str, str]:
    for name, value in table.items():
        if not isinstance(value, str):
            raise SpecError(f"{path}: channels.{name}: expected a path in quotes, got {value!r}")
    return dict(table)


def by_our_names(given: Mapping[str, Source]) -> dict[str, Source]:
    """Channels by our names (`valid` -> `validation`). Two names for one channel are refused."""
    channels: dict[str, Source] = {}
    for name, source in given.items():
        ours = channel_name(name)
        if ours not in CHANNELS:
            raise ChannelError(
                f"channel {name!r}: expected one of {', '.join(CHANNELS)}"
                f"{_hint(name, (*CHANNELS, *CHANNEL_ALIASES))}"
            )
        if ours in channels:
            raise ChannelError(f"two channels mean {ours!r} (one of them {name!r}): give one")
        channels[ours] = source
    return channels


def _check_channel(name: str, path: Path) -> None:
    if not path.exists():
        raise ChannelError(
            f"channel {name!r}: {path} does not exist; give another with --channel {name}=FOLDER"
        )
    if path.is_dir() and not any(path.iterdir()):
        raise ChannelError(f"channel {name!r}: {path} is empty")


def name_from(path: Path) -> str:
    """A job's name from its file's: `my_dogs.toml` -> `my-dogs`."""
    return re.sub(r"[^a-zA-Z0-9]+", "-", path.stem).strip("-")[:63].strip("-") or "job"


def _knobs(given: Mapping[str, str]) -> set[str]:
    """Our names of the knobs that `given` turns; `learning_rate` on the command line beats `lr`."""
    return set(resolve_aliases(dict(given), BY_NAME)[0])


def _hint(name: str, known: Iterable[str]) -> str:
    near = nearest(name, known)
    return f"; did you mean {near!r}?" if near else f"; known: {', '.join(known)}"
