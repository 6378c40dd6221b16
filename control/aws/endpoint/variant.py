"""Variant: one model behind an endpoint, with its share of the traffic and its machines."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from contract.errors import SpecError, UsageError
from control.aws.endpoint.fields import Fields
from control.aws.endpoint.place import EndpointPlace, instance_type_in
from control.aws.shapes import BUCKET
from control.s3 import SCHEME, S3Uri, Source

ONLY_ONE = "main"  # the variant's name where the file has no [[variants]]
MOST_VARIANTS = 10  # Source: SageMaker API reference, CreateEndpointConfig
NAMES = ("name", "bundle", "weight", "instance_type", "instance_count")
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of the models. A multi-model endpoint's has no bundle: they lie below its prefix."""

    name: str = ONLY_ONE
    bundle: Source | None = None
    weight: float = 1.0  # its share is weight / sum of the weights
    instance_type: str
    instance_count: int = 1


def variants_in(path: Path, tables: object, place: EndpointPlace) -> tuple[Variant, ...]:
    """The tables [[variants]]; what they leave out is said by [aws]. Raises SpecError."""
    if not isinstance(tables, list) or not tables:
        raise SpecError(f"{path}: variants: expected tables, [[variants]], got {tables!r}")
    if len(tables) > MOST_VARIANTS:
        raise SpecError(f"{path}: variants: expected at most {MOST_VARIANTS}, got {len(tables)}")
    found = []
    for number, table in enumerate(tables, 1):
        fields = Fields(path, f"variants[{number}]", table).known(NAMES)
        found.append(_variant_in(fields, place))
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise SpecError(f"{path}: variants: two are called {name!r}: give another name")
    if not any(one.weight for one in found):
        raise SpecError(f"{path}: variants: every weight is 0: nobody would be answered")
    return tuple(found)


def bundle_in(fields: Fields) -> Source:
    """A run, a bundle or a model.tar.gz, as a path from the file, or an archive in S3."""
    text = fields.text("bundle")
    if not text:
        raise SpecError(
            f"{fields.path}: {f'{fields.name}.' if fields.name else ''}bundle: expected a run "
            'folder, a bundle, a model.tar.gz, or "s3://BUCKET/.../model.tar.gz"'
        )
    if not text.startswith(SCHEME):
        return Path(os.path.normpath(fields.path.parent / Path(text).expanduser()))
    try:
        uri = S3Uri.parse(text)
    except UsageError:
        raise fields.wrong("bundle", "s3://BUCKET/.../model.tar.gz", text) from None
    if not BUCKET.fits(uri.bucket):
        raise fields.wrong("bundle", BUCKET.expected, uri.bucket)
    if not uri.key.endswith(".tar.gz"):
        raise fields.wrong("bundle", "an object that ends in .tar.gz", text)
    return uri


def _variant_in(fields: Fields, place: EndpointPlace) -> Variant:
    name = fields.text("name")
    if not _NAME.fullmatch(name):
        raise fields.wrong("name", "at most 63 letters, digits and single hyphens", name)
    return Variant(
        name=name,
        bundle=bundle_in(fields),
        weight=fields.number("weight", 0.0, 1e6, 1.0),
        instance_type=instance_type_in(fields, place.instance_type),
        instance_count=fields.whole("instance_count", 1, 100, place.instance_count),
    )
