"""MultiModelSpec: the table [multi_model] of a deployment: many models below one prefix in S3.

SageMaker takes a model from <prefix><target> when somebody asks it for the first time, so models
are added and removed by their objects alone; the endpoint stays as it is.
"""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.errors import SpecError, UsageError
from contract.targets import ARCHIVE_ENDING, DEEPEST
from control.aws.endpoint.fields import Fields
from control.aws.shapes import BUCKET
from control.s3 import SCHEME, S3Uri, Source

NAMES = ("prefix", "models", "cache", "gpu")
LONGEST_NAME = 200  # with the prefix it must stay below S3's 1024 bytes of a key
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_NUMBERED = re.compile(r"(.*?)(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiModelSpec:
    """Models of one endpoint. Source: SageMaker API reference, MultiModelConfig."""

    prefix: S3Uri  # with a closing slash: `dogs` would mean `dogs2/...`, too
    models: Mapping[str, Source] = field(default_factory=dict)  # name -> bundle; published first
    is_cached: bool = True  # false: unloaded after each invocation
    is_gpu_agreed: bool = False  # AWS describes GPUs for Triton's container only

    def check_instance_type(self, instance_type: str, *, is_gpu: bool) -> None:
        """Raises SpecError: a GPU that nobody asked for in so many words."""
        if is_gpu and not self.is_gpu_agreed:
            raise SpecError(
                f"aws.instance_type: {instance_type} has a GPU, and AWS describes multi-model "
                "endpoints on GPUs for its Triton container only: choose a CPU type, or say "
                "gpu = true in [multi_model] to try it"
            )


def multi_model_in(path: Path, table: Mapping[str, Any]) -> MultiModelSpec:
    """The table [multi_model] of the file `path`; bundles are relative to it. Raises SpecError."""
    fields = Fields(path, "multi_model", table).known(NAMES)
    if "prefix" not in table:
        raise SpecError(
            f'{path}: multi_model.prefix: expected where the models are, e.g. "s3://BUCKET/models/"'
        )
    models = _models_in(fields)
    is_cached = True
    if "cache" in table:
        is_cached = fields.switch("cache")
    return MultiModelSpec(
        prefix=S3Uri.parse(fields.s3("prefix")).folder(),
        models=models,
        is_cached=is_cached,
        is_gpu_agreed=fields.switch("gpu"),
    )


def model_name(text: str) -> str:
    """A model's name without its ending: `dogs/v1` of `dogs/v1.tar.gz`. Raises UsageError."""
    name = text.removesuffix(ARCHIVE_ENDING)
    parts = name.split("/")
    if (
        not all(_PART.fullmatch(part) for part in parts)
        or len(parts) > DEEPEST + 1
        or len(name) > LONGEST_NAME
    ):
        raise UsageError(
            f"model {text!r}: expected a name such as dogs/v1: letters, digits and . _ - between "
            f"at most {DEEPEST} slashes, {LONGEST_NAME} characters in all"
        )
    return name


def target_of(name: str) -> str:
    """What callers say in TargetModel, the key below the prefix: `dogs/v1` -> `dogs/v1.tar.gz`."""
    return model_name(name) + ARCHIVE_ENDING


def next_name(name: str, taken: Collection[str]) -> str:
    """A name that is free: `dogs/v2` after `dogs/v1`, `dogs-v2` after `dogs`."""
    found = _NUMBERED.fullmatch(name)
    stem, number = (found[1], int(found[2])) if found else (f"{name}-v", 1)
    while True:
        number += 1
        if f"{stem}{number}" not in taken:
            return f"{stem}{number}"


def _models_in(fields: Fields) -> dict[str, Source]:
    table = fields.table.get("models", {})
    if not isinstance(table, Mapping):
        raise fields.wrong("models", 'a table, e.g. "dogs/v1" = "../runs/0001-dogs"', table)
    models: dict[str, Source] = {}
    for key, value in table.items():
        if not isinstance(value, str) or not value:
            raise fields.wrong(f"models.{key}", "a bundle, a run or a model.tar.gz", value)
        try:
            name = model_name(key)
            source = source_of(value, fields.path.parent)
        except UsageError as error:
            raise SpecError(f"{fields.path}: multi_model.models: {error}") from None
        if name in models:
            raise SpecError(f"{fields.path}: multi_model.models: two models are called {name!r}")
        models[name] = source
    return models


def source_of(text: str, folder: Path | None = None) -> Source:
    """An archive in S3, or a path, relative to `folder`. Raises UsageError."""
    if text.startswith(SCHEME):
        uri = S3Uri.parse(text)
        if not BUCKET.fits(uri.bucket):
            raise UsageError(f"{text}: {uri.bucket}: expected {BUCKET.expected}")
        if not uri.key.endswith(ARCHIVE_ENDING):
            raise UsageError(f"{text}: expected a model.tar.gz in S3")
        return uri
    path = Path(text).expanduser()
    return Path(os.path.normpath(folder / path)) if folder else path
