"""Tuning: what one TUNING.toml asks for, read and checked before anything starts."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from contract.errors import ChannelError, JobError, SpecError
from contract.hyperparameters import parse_hyperparameters
from contract.ranges import Range, only_known, read_ranges
from contract.tuning import BUDGETS, TUNING_KEY, TuningSpec
from contract.tuning_parts import COMPLETION, RESOURCES
from control.aws_place import AwsPlace, read_aws_place
from control.debug_spec import DebugSpec
from control.debug_tables import TABLES
from control.job_spec import (
    DAY_SECONDS,
    JobFile,
    JobSpec,
    Overrides,
    by_our_names,
    channels_in,
    channels_in_aws,
    combine,
    hyperparameters_in,
    read_job_file,
)
from control.s3 import Source
from control.toml_file import read_toml, table_in, text_in

TOP = ("name", "job", "hyperparameters", "channels", "tuning", "ranges", "warm_start", "aws")
TUNING = (
    *("strategy", "objective", "goal", "early_stopping", "seed", "price_per_hour"),
    *(*BUDGETS, *COMPLETION, *RESOURCES),
)
MOST_NAME = 32  # SageMaker's limit for tuning jobs
LONGEST_SECONDS = 28 * DAY_SECONDS  # of one training job, which a study is
FAREWELL_SECONDS = 600  # after max_runtime_seconds: the best network is finished and written


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """A study as a person describes it."""

    spec: TuningSpec  # its `static` holds every hyperparameter that is not searched
    channels: Mapping[str, Source]  # by our names; looked for when `study_job` is made
    job: Path | None = None  # the base job's file
    trial_seconds: int = DAY_SECONDS  # max_run_seconds of the base job
    aws: AwsPlace | None = None  # where in AWS the same study runs when it is told to
    job_debug: DebugSpec = field(default_factory=DebugSpec)  # of the base job; trials go without

    @property
    def limit_seconds(self) -> int:
        """When the whole study is stopped from outside; its own budget ends it before."""
        runtime = self.spec.max_runtime_seconds
        wanted = runtime + FAREWELL_SECONDS if runtime else self.trial_seconds * self.spec.num_jobs
        return min(wanted, LONGEST_SECONDS)

    @property
    def hyperparameters(self) -> dict[str, str]:
        """Those of the one training job that is the whole study. Raises SpecError: too long."""
        return {**self.spec.static, TUNING_KEY: self.spec.to_hyperparameter()}

    def study_job(self) -> JobSpec:
        """The whole study as one training job. Raises ChannelError when pictures are missing."""
        self.check_objective(self.channels)
        return JobSpec(
            name=self.spec.name,
            hyperparameters=self.hyperparameters,
            channels=self.channels,
            max_run_seconds=self.limit_seconds,
        )

    def check_objective(self, channels: Collection[str]) -> None:
        """Raises ChannelError: the objective comes from a channel that no trial would have."""
        metric = self.spec.objective.metric
        if metric.startswith("test:") and "test" not in channels:
            raise ChannelError(f"the objective {metric} needs a test channel, and there is none")

    def with_parents(self, parents: tuple[str, ...]) -> "Tuning":
        """The same study with other names for the parents of its warm start."""
        if self.spec.warm_start is None:
            return self
        warm_start = replace(self.spec.warm_start, parents=parents)
        return replace(self, spec=replace(self.spec, warm_start=warm_start))


def read_tuning(
    path: Path,
    overrides: Overrides | None = None,
    max_jobs: int | None = None,
    *,
    in_aws: bool = False,
) -> Tuning:
    """Read and check a tuning description. Paths in it are relative to the file.

    With `in_aws` every channel is in S3: [aws.channels] beats [channels], the command line both.
    Raises SpecError, HyperparameterError or ChannelError: nothing was started then.
    """
    overrides = overrides or Overrides()
    data = read_toml(path, "tuning description")
    _check_tables(path, data)
    base_path, base = _base(path, data)
    settings = table_in(path, data, "tuning")
    only_known(f"{path}: tuning", settings, TUNING)
    ranges = table_in(path, data, "ranges")
    own = hyperparameters_in(path, data)
    searched = _searched(path, ranges, own)
    # A job's own value of what is searched here means nothing; one in this file is a mistake.
    kept = combine(base.hyperparameters, dict.fromkeys(searched, ""))
    static = {name: text for name, text in kept.items() if name not in searched}
    static = combine(combine(static, own), overrides.hyperparameters)
    name = overrides.name or text_in(path, data, "name") or _short(base.name)
    described = {**settings, "name": name, "ranges": ranges, "static": static}
    if "warm_start" in data:
        described["warm_start"] = table_in(path, data, "warm_start")
    if max_jobs is not None:
        described["max_jobs"] = max_jobs
    # Where in AWS is one decision: the table here takes the place of the whole one of the job.
    aws = read_aws_place(path, table_in(path, data, "aws")) if "aws" in data else base.aws
    written = replace(
        base, name=name, channels={**base.channels, **channels_in(path, data)}, aws=aws
    )
    more = by_our_names(overrides.channels)
    in_s3 = channels_in_aws(path, written, more) if in_aws else {}
    return Tuning(
        spec=_spec(path, described),
        channels={**written.channels, **more, **in_s3},
        job=base_path,
        trial_seconds=base.max_run_seconds,
        job_debug=base.debug,
        aws=aws,
    )


def _check_tables(path: Path, data: Mapping[str, Any]) -> None:
    """Raises SpecError: a name that no study has."""
    for name in TABLES:
        if name in data:
            raise SpecError(
                f"{path}: [{name}]: a study has neither Debugger nor profiler; run one of its "
                "trials with them: kennel run JOB.toml --from best --debug --profile"
            )
    only_known(str(path), data, TOP)
    if "tuning" not in data and "ranges" not in data:
        raise SpecError(
            f"{path}: expected the tables [tuning] and [ranges], there is neither: a job is run by "
            "`kennel run`, and docs/tuning.md shows what a study has"
        )


def _base(path: Path, data: Mapping[str, Any]) -> tuple[Path | None, JobFile]:
    """The job that is tuned: a file's, or nothing but what this one says."""
    word = text_in(path, data, "job")
    if word is None:
        return None, JobFile(name=re.sub(r"[^a-zA-Z0-9]+", "-", path.stem).strip("-") or "study")
    base = path.parent / Path(word).expanduser()
    if not base.is_file():
        raise SpecError(f"{path}: job: {base} does not exist; paths are relative to this file")
    return base, read_job_file(base)


def _searched(path: Path, ranges: Mapping[str, Any], own: Mapping[str, str]) -> dict[str, Range]:
    """The file's ranges, read; its hyperparameters are checked. Raises SpecError, with the file."""
    try:
        parse_hyperparameters(own)
        return read_ranges(ranges)
    except JobError as error:
        raise SpecError(f"{path}: {error}") from None


def _short(name: str) -> str:
    return name[:MOST_NAME].strip("-")


def _spec(path: Path, described: Mapping[str, Any]) -> TuningSpec:
    try:
        return TuningSpec.from_json(described)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
