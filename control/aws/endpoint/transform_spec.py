"""TransformSpec: the table [transform] of a deployment: a batch transform of pictures in S3."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from contract.errors import SpecError
from control.aws.endpoint.fields import Fields
from control.aws.shapes import AMI, MEDIA_TYPE
from control.s3 import SCHEME, S3Uri
from control.transform_input import MANIFEST_SUFFIXES
from control.transform_row import FORMATS

NAMES = (
    *("input", "output", "results", "format", "accept", "content_type"),
    *("max_concurrent", "max_payload_mb", "strategy", "split", "join"),
    *("input_filter", "output_filter", "only_pictures", "timeout_seconds", "retries"),
    *("max_run_seconds", "ami"),
)
# Source: SageMaker API reference, CreateTransformJob, ModelClientConfig and DataProcessing.
MOST_MB = 100  # of one request, and of all that are under way
USUAL_MB = 10  # photographs of telephones; ten requests on each instance then share the 100
LONGEST_FILTER = 63
SPLITS = ("None", "Line", "RecordIO")  # TFRecord is not read: its features have no agreed names
STRATEGIES = ("SingleRecord", "MultiRecord")
TABLE_ACCEPT = "application/jsonlines"  # one line a picture, which becomes a row as it is
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformSpec:
    """One batch transform, on the machines of [aws]. Source: API reference, CreateTransformJob."""

    input: S3Uri  # a folder, one object, or SageMaker's manifest
    output: S3Uri  # each job writes below it, in a folder of its own name
    results: str = ""  # a folder, or s3://..., for the table; "": answers/NAME in this folder
    format: str = FORMATS[0]  # of the table
    accept: str = TABLE_ACCEPT
    content_type: str = "application/x-image"
    max_concurrent: int = 0  # requests under way on each instance; 0: what our server answers
    max_payload_mb: int = USUAL_MB  # of one request; larger pictures are not sent
    strategy: str = STRATEGIES[0]
    split: str = SPLITS[0]
    is_joined: bool = False  # answers go into the records that they answer
    input_filter: str = ""
    output_filter: str = ""
    is_only_pictures: bool = False  # a manifest names the pictures; other objects are not sent
    timeout_seconds: int = 600  # of one request
    retries: int = 3
    max_run_seconds: int = DAY_SECONDS  # SageMaker has no such limit: who follows the job stops it
    ami: str = ""  # TransformAmiVersion; "": the one that fits the image's CUDA

    @property
    def is_folder(self) -> bool:
        """Whether the input is all objects below a prefix."""
        return not self.input.key or self.input.key.endswith("/")

    @property
    def is_manifest(self) -> bool:
        """Whether the input is a list of pictures that somebody wrote."""
        is_list = PurePosixPath(self.input.key).suffix.lower() in MANIFEST_SUFFIXES
        return is_list and not self.is_folder and self.split == "None"

    @property
    def is_table(self) -> bool:
        """Whether the answers are what the local `kennel transform` makes its table of."""
        return self.accept == TABLE_ACCEPT and not (self.is_joined or self.output_filter)

    def __post_init__(self) -> None:
        if self.max_concurrent * self.max_payload_mb > MOST_MB:
            raise SpecError(
                f"transform: max_concurrent x max_payload_mb: expected at most {MOST_MB} MB under "
                f"way, got {self.max_concurrent} x {self.max_payload_mb} = "
                f"{self.max_concurrent * self.max_payload_mb}"
            )
        if self.split == "None" and self.strategy == "MultiRecord":
            raise SpecError(
                'transform.strategy: MultiRecord puts records together, and split = "None" sends '
                'whole objects: leave it, or give split = "Line" or "RecordIO"'
            )
        if self.is_only_pictures and (self.is_manifest or self.split != "None"):
            raise SpecError(
                "transform.only_pictures: only for objects below a prefix that are one picture "
                'each (split = "None", no manifest)'
            )
        self._check_data_processing()

    def _check_data_processing(self) -> None:
        """Filters and join read records: text, of the same kind on both sides."""
        if not (self.is_joined or self.input_filter or self.output_filter):
            return
        kinds = ("application/jsonlines", "application/json", "text/csv")
        if self.content_type not in kinds:
            raise SpecError(
                f"transform: filters and join read {', '.join(kinds)}, not {self.content_type}: "
                "the answers to pictures are joined by their objects' names, in the table"
            )
        if self.is_joined and self.accept != self.content_type:
            raise SpecError(
                f"transform.join: expected accept = content_type, got {self.accept!r} and "
                f"{self.content_type!r}"
            )


def transform_in(path: Path, table: Mapping[str, Any]) -> TransformSpec:
    """The table [transform] of the file `path`. Raises SpecError."""
    fields = Fields(path, "transform", table).known(NAMES)
    for name, meaning in (("input", "the pictures are"), ("output", "the answers go")):
        if name not in table:
            raise SpecError(
                f'{path}: transform.{name}: expected where {meaning}, e.g. "s3://BUCKET/PREFIX/"'
            )
    try:
        return TransformSpec(
            input=S3Uri.parse(fields.s3("input")).file_or_folder(),
            output=S3Uri.parse(fields.s3("output")).folder(),
            results=_results_in(path, fields.text("results")),
            format=fields.one_of("format", FORMATS, FORMATS[0]),
            accept=fields.shaped("accept", MEDIA_TYPE, TABLE_ACCEPT),
            content_type=fields.shaped("content_type", MEDIA_TYPE, "application/x-image"),
            max_concurrent=fields.whole("max_concurrent", 0, MOST_MB, 0),
            max_payload_mb=fields.whole("max_payload_mb", 1, MOST_MB, USUAL_MB),
            strategy=fields.one_of("strategy", STRATEGIES, STRATEGIES[0]),
            split=fields.one_of("split", SPLITS, SPLITS[0]),
            is_joined=fields.switch("join"),
            input_filter=_filter_in(fields, "input_filter"),
            output_filter=_filter_in(fields, "output_filter"),
            is_only_pictures=fields.switch("only_pictures"),
            timeout_seconds=fields.whole("timeout_seconds", 1, 3600, 600),
            retries=fields.whole("retries", 0, 3, 3),
            max_run_seconds=fields.whole("max_run_seconds", 60, 28 * DAY_SECONDS, DAY_SECONDS),
            ami=fields.shaped("ami", AMI),
        )
    except SpecError as error:
        told = str(error)
        raise SpecError(told if told.startswith(str(path)) else f"{path}: {told}") from None


def _filter_in(fields: Fields, name: str) -> str:
    value = fields.text(name)
    if value and (not value.startswith("$") or len(value) > LONGEST_FILTER):
        raise fields.wrong(name, f"a JSONPath of at most {LONGEST_FILTER} characters, $...", value)
    return value


def _results_in(path: Path, text: str) -> str:
    """Relative to the file, as everything in it."""
    if not text or text.startswith(SCHEME):
        return text
    return os.path.normpath(path.parent / Path(text).expanduser())
