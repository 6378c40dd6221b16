"""TransformList: what the input of a batch transform holds, looked at before anything is billed."""

import json
from collections.abc import Iterator

from contract.errors import UsageError
from control.aws.endpoint.transform_spec import TransformSpec
from control.s3 import S3, S3Uri
from control.transform_input import S3Input, find_input
from control.transform_plan import write_plan
from control.transform_results import State, TransformFolder, TransformJob

MIB = 1024 * 1024  # SageMaker's MB
CONNECTIONS = 10


def list_objects(
    transform: TransformSpec, s3: S3, folder: TransformFolder, job: TransformJob
) -> State:
    """Write down the names of all objects in the input; the state of a job that has none answered.

    Raises UsageError: nothing is there, or something that the job would fail for. AwsError.
    """
    left_out: dict[str, int] = {}
    if transform.split == "None":
        pictures = _pictures(transform)
        *_, total = write_plan(folder.plan, pictures.names())
        _check(transform, pictures)
        left_out = dict(pictures.left_out)
    else:
        *_, total = write_plan(folder.plan, _files_of_records(transform, s3))
    if not total:
        raise UsageError(_nothing(transform, s3))
    state = State(job=job, total=total, left_out=left_out)
    folder.begin(state)
    return state


def _nothing(transform: TransformSpec, s3: S3) -> str:
    uri = transform.input
    one = S3Uri(uri.bucket, uri.key.rstrip("/"))
    if transform.is_folder and one.key and s3.exists(one):
        return f"{one} is one object, and no name of one: rename it, or give {one.parent()}"
    return f"{uri} holds nothing to answer: check the address"


def folder_of(transform: TransformSpec) -> S3Uri:
    """What the names are relative to. Raises UsageError, AwsError: a manifest cannot be read."""
    if transform.is_manifest:
        return _pictures(transform).folder
    return transform.input if transform.is_folder else transform.input.parent()


def manifest_of_names(transform: TransformSpec, names: Iterator[bytes]) -> bytes:
    """SageMaker's ManifestFile: the prefix, then the names below it."""
    listed = [{"prefix": str(transform.input)}, *(name.decode() for name in names)]
    return json.dumps(listed).encode()


def _pictures(transform: TransformSpec) -> S3Input:
    """As the local transform finds them."""
    found = find_input(str(transform.input), CONNECTIONS)
    assert isinstance(found, S3Input)
    return found


def _files_of_records(transform: TransformSpec, s3: S3) -> Iterator[bytes]:
    """Whatever they are called."""
    folder = folder_of(transform)
    for key in s3.list(transform.input):
        if name := key[len(folder.key) :]:
            yield name.encode()


def _check(transform: TransformSpec, pictures: S3Input) -> None:
    """SageMaker sends all that is below the prefix, and calls a job failed for one refusal."""
    strangers = sum(pictures.left_out.values()) + pictures.num_hidden
    if strangers and not transform.is_only_pictures:
        kinds = [*pictures.left_out, *["hidden"] * bool(pictures.num_hidden)]
        raise UsageError(
            f"{transform.input} holds {strangers:,} objects that are no pictures by name "
            f"({', '.join(kinds[:5])}): SageMaker sends them, too, and calls the job failed: say "
            "only_pictures = true in [transform], and a manifest leaves them out"
        )
    if pictures.largest_bytes > transform.max_payload_mb * MIB:
        raise UsageError(
            f"{transform.input} holds a picture of {pictures.largest_bytes:,} bytes: expected at "
            f"most max_payload_mb = {transform.max_payload_mb}; set it to "
            f"{-(-pictures.largest_bytes // MIB)}"
        )
