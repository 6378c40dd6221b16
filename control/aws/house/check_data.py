"""Checks of data: channels in S3, buckets and their region, bundles, pictures against limits."""

import json
import tarfile
import zlib
from functools import partial
from pathlib import Path, PurePosixPath

from contract.errors import BundleError
from contract.manifest import MANIFEST_NAME, Manifest
from control.aws.account import Account, is_missing
from control.aws.call import Call
from control.aws.house.asking import each
from control.aws.house.check import Check, fine, looked, note, wrong
from control.aws.house.found import size
from control.aws.house.wanted import Wanted
from control.aws_client import AwsError, aws_errors
from control.bundle_source import opened_bundle
from control.s3 import S3Uri

MANIFEST_BYTES = 10_000_000
MB = 1024**2


def data_checks(account: Account, wanted: Wanted) -> list[Check]:
    """Everything in S3 that the file names."""
    places = [S3Uri.parse(text) for text in (*wanted.inputs, *wanted.outputs)]
    buckets = dict.fromkeys(place.bucket for place in places)
    found: list[Check] = []
    for name in buckets:
        found += looked("bucket", partial(_bucket, account, name))
    missing = {one.said.split()[0] for one in found if one.is_ok is False}
    inputs = [text for text in wanted.inputs if S3Uri.parse(text).bucket not in missing]
    found += [
        one
        for several in each(lambda text: looked("data", partial(_input, account, text)), inputs)
        for one in several
    ]
    return found + bundle_checks(wanted, account)


def bundle_checks(wanted: Wanted, account: Account | None = None) -> list[Check]:
    """Each bundle is one. Without an account those in S3 are left out."""
    found: list[Check] = []
    for source in wanted.bundles:
        if isinstance(source, Path):
            found += looked("bundle", partial(_local_bundle, source))
        elif account is not None:
            found += looked("bundle", partial(_bundle_in_s3, account, source))
    return found


def payload_check(folder: Path, payload_mb: int) -> Check:
    """Pictures that are larger than one request may be."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name[:1] != "."]
    if not files:
        return wrong("payload", f"{folder} holds no file", "give a folder of pictures")
    large = sorted(path.stat().st_size for path in files if path.stat().st_size > payload_mb * MB)
    if not large:
        return fine("payload", f"{len(files)} files, none above {payload_mb} MB")
    return note(
        "payload",
        f"{len(large)} of {len(files)} files are above {payload_mb} MB, the largest "
        f"{size(large[-1])}: `kennel predict` sends them smaller",
    )


def _bucket(account: Account, name: str) -> Check:
    try:
        head = Call(service="s3", operation="HeadBucket", parameters={"Bucket": name})
        region = str(account.send(head, f"bucket {name}").get("BucketRegion") or "")
    except AwsError as error:
        if is_missing(error):
            make = f"aws s3 mb s3://{name} --region {account.region}"
            return wrong("bucket", f"{name} does not exist", make)
        if error.code == "403":
            remedy = "aws s3 ls names yours; kennel iam show FILE.toml prints the rights to it"
            return wrong("bucket", f"{name} is somebody else's, or may not be looked at", remedy)
        if error.code == "301":
            region = "another region"
        else:
            raise
    if region and region != account.region:
        return wrong(
            "bucket",
            f"{name} is in {region}, and the work in {account.region}",
            f"take a bucket in {account.region}, or AWS_REGION={region}",
        )
    return fine("bucket", f"{name}{f', {region}' if region else ''}")


def _input(account: Account, text: str) -> Check:
    uri = S3Uri.parse(text)
    parameters = {"Bucket": uri.bucket, "Prefix": uri.key, "MaxKeys": 1}
    call = Call(service="s3", operation="ListObjectsV2", parameters=parameters)
    if account.send(call, text).get("KeyCount"):
        return fine("data", f"{text} holds something")
    return wrong("data", f"{text} is empty", f"kennel data push DIR {text}")


def _local_bundle(path: Path) -> Check:
    with opened_bundle(path) as folder:
        missing = [
            name
            for name in _manifest((folder / MANIFEST_NAME).read_bytes()).files
            if not (folder / name).is_file()
        ]
    if missing:
        return wrong(
            "bundle", f"{path} lacks {', '.join(missing)}", "train again, or copy it again"
        )
    return fine("bundle", str(path))


def _bundle_in_s3(account: Account, uri: S3Uri) -> Check:
    """The archive is read from its beginning, as far as its names and its manifest go."""
    call = Call(
        service="s3", operation="GetObject", parameters={"Bucket": uri.bucket, "Key": uri.key}
    )
    try:
        answer = account.send(call, str(uri))
    except AwsError as error:
        if is_missing(error):
            return wrong("bundle", f"{uri} does not exist", "aws s3 ls " + str(uri.parent()))
        raise
    names: set[str] = set()
    manifest: Manifest | None = None
    try:
        with (
            aws_errors(str(uri)),
            answer["Body"] as body,
            tarfile.open(fileobj=body, mode="r|*") as tar,
        ):
            for member in tar:
                name = str(PurePosixPath(member.name))
                names.add(name)
                if name == MANIFEST_NAME and member.isreg() and member.size < MANIFEST_BYTES:
                    file = tar.extractfile(member)
                    manifest = _manifest(file.read() if file else b"")
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        return wrong(
            "bundle", f"{uri} cannot be read as a model.tar.gz: {error}", "upload it again"
        )
    if manifest is None:
        inside = ", ".join(sorted(names)[:5]) or "nothing"
        return wrong(
            "bundle",
            f"{uri} has no {MANIFEST_NAME} at its top, but {inside}",
            "pack what is in the bundle's folder, not the folder",
        )
    if missing := sorted(set(manifest.files) - names):
        return wrong("bundle", f"{uri} lacks {', '.join(missing)}", "upload it again")
    return fine("bundle", f"{uri}, {size(int(answer.get('ContentLength', 0)))}")


def _manifest(data: bytes) -> Manifest:
    try:
        return Manifest.from_json(json.loads(data))
    except ValueError as error:
        raise BundleError(f"{MANIFEST_NAME} is no JSON: {error}") from error
