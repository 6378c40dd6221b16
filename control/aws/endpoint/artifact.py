"""Artifact: a bundle as the model.tar.gz that SageMaker unpacks, under a name made of its content.

The key holds a digest, so an object is never overwritten by another model, and the same bundle is
uploaded once.
"""

import gzip
import hashlib
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from contract.errors import BundleError, HostError
from contract.files import sha256_of
from contract.manifest import read_manifest
from control.aws.account import Account
from control.aws.call import Call
from control.aws_client import AwsError, aws_errors
from control.bundle_source import find_bundle, opened_bundle
from control.s3 import S3Uri

DIGEST_CHARACTERS = 12
# Weights hardly compress; the lowest level halves the time and costs a per cent.
LEVEL = 1
DENIED = frozenset({"403", "AccessDenied", "Forbidden"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A local bundle, and where it goes."""

    source: Path  # the bundle's folder, or its archive
    uri: S3Uri

    @property
    def call(self) -> Call:
        """The upload as --show prints it; large files are sent in parts."""
        return Call(
            service="s3",
            operation="PutObject",
            parameters={
                "Bucket": self.uri.bucket,
                "Key": self.uri.key,
                "Body": "(the bundle as model.tar.gz)",
            },
        )


def artifact_of(bundle: Path, artifacts: S3Uri, name: str) -> Artifact:
    """The bundle's archive below `artifacts`. Everything is read: its files against bundle.json.

    Raises UsageError: nothing is there. BundleError: it is no bundle, incomplete or damaged.
    """
    found = find_bundle(bundle)
    with opened_bundle(found) as folder:
        digest = check_bundle(folder)
    if found.is_file():
        digest = _digest(found)
    return Artifact(source=found, uri=artifacts.join(f"{name}-{digest[:DIGEST_CHARACTERS]}.tar.gz"))


def check_bundle(folder: Path) -> str:
    """A digest of all files' names and contents. Raises BundleError: damaged or incomplete."""
    manifest = read_manifest(folder)
    digests = {path.relative_to(folder).as_posix(): _digest(path) for path in _files(folder)}
    for name, expected in manifest.files.items():
        if name not in digests:
            raise BundleError(
                f"{folder} holds no {name}, which its bundle.json names: train again, or copy "
                "the whole folder"
            )
        if digests[name] != expected:
            raise BundleError(
                f"{folder}/{name} is not the file that bundle.json was written for: train "
                "again, or copy it again"
            )
    listed = "".join(f"{name}\0{digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(listed.encode()).hexdigest()


def upload(account: Account, artifact: Artifact) -> bool:
    """Put the archive where it goes; whether it was not there yet.

    Raises AwsError; HostError: no room for the archive in the temporary folder.
    """
    uri = artifact.uri
    parameters = {"Bucket": uri.bucket, "Key": uri.key}
    looked = Call(service="s3", operation="HeadObject", parameters=parameters)
    try:
        if account.find(looked, f"{uri} cannot be looked up") is not None:
            return False
    except AwsError as error:
        # Who may not list the bucket hears that of what is not there, too. The upload decides.
        if error.code not in DENIED:
            raise
    client = account.client("s3")
    if artifact.source.is_file():
        with aws_errors(f"{artifact.source} cannot be uploaded to {uri}"):
            client.upload_file(str(artifact.source), uri.bucket, uri.key)
        return True
    with tempfile.TemporaryDirectory(prefix="kennel-model-") as folder:
        archive = Path(folder) / "model.tar.gz"
        pack_model(artifact.source, archive)
        with aws_errors(f"{artifact.source} cannot be uploaded to {uri}"):
            client.upload_file(str(archive), uri.bucket, uri.key)
    return True


def pack_model(source: Path, archive: Path) -> None:
    """As SageMaker packs /opt/ml/model: files at the archive's root, without `./`.

    The same files make the same bytes. Raises HostError: the disk is full.
    """
    try:
        with (
            archive.open("wb") as file,
            gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for path in _files(source):
                name = path.relative_to(source).as_posix()
                with path.open("rb") as content:
                    tar.addfile(_member(name, path.stat().st_size), content)
    except OSError as error:
        raise HostError(f"{source} cannot be packed: {error.strerror or error}") from None


def _member(name: str, num_bytes: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = num_bytes, 0o644, 0
    return member


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digest(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise HostError(f"{path} cannot be read: {error.strerror}") from None
