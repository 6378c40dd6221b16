"""Publish: bundles become models of a multi-model endpoint, each under a name of its own."""

import base64
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from contract.errors import HostError, UsageError
from control.aws.account import Account
from control.aws.call import Call
from control.aws.endpoint.artifact import check_bundle, pack_model
from control.aws.endpoint.model_store import DIGEST, FROM, ModelStore
from control.aws.endpoint.multi_spec import next_name, target_of
from control.aws_client import AwsError
from control.bundle_source import find_bundle, opened_bundle
from control.s3 import S3Uri, Source

THREADS = 4  # models that are packed and sent at once
MOST_BYTES = 5 * 10**9  # Source: Amazon S3 user guide, PutObject: 5 GB in one request
CHUNK_BYTES = 1 << 20
TAKEN = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One model on its way."""

    name: str
    source: Source  # the bundle's folder or archive, as it was found, or an archive in S3
    uri: S3Uri
    digest: str  # of what the bundle holds, packed or not

    @property
    def call(self) -> Call:
        """The request, which S3 refuses when the name is taken. The archive is made when sent."""
        told = {DIGEST: self.digest, FROM: quote(str(self.source), safe="/:._-")}
        parameters: dict[str, Any] = {"Bucket": self.uri.bucket, "Key": self.uri.key}
        if isinstance(self.source, S3Uri):
            parameters |= {
                "CopySource": {"Bucket": self.source.bucket, "Key": self.source.key},
                "MetadataDirective": "REPLACE",
                "Metadata": told,
            }
            return Call(service="s3", operation="CopyObject", parameters=parameters)
        parameters |= {
            "Body": "(the bundle as model.tar.gz)",
            "IfNoneMatch": "*",
            "ChecksumAlgorithm": "SHA256",
            "Metadata": told,
        }
        return Call(service="s3", operation="PutObject", parameters=parameters)


def publications(store: ModelStore, models: Mapping[str, Source]) -> list[Publication]:
    """What publishing `models` sends. Bundles here are read and checked; AWS is not asked.

    Raises UsageError, BundleError: nothing there, or no whole bundle.
    """
    return [_publication(store, name, source) for name, source in models.items()]


def publish(account: Account, store: ModelStore, wanted: Sequence[Publication]) -> dict[str, bool]:
    """Name -> whether it was not there yet. The same bundle under the same name is no error.

    Raises UsageError, before anything is sent, for a name that is another model's. AwsError;
    HostError: no room to pack, or S3 holds something else afterwards.
    """
    missing = [one for one in wanted if not _is_there(store, one)]
    with ThreadPoolExecutor(THREADS, thread_name_prefix="publish") as pool:
        for _ in pool.map(lambda one: _send(account, store, one), missing):
            pass
    sent = {one.name for one in missing}
    return {one.name: one.name in sent for one in wanted}


def _publication(store: ModelStore, name: str, source: Source) -> Publication:
    if isinstance(source, S3Uri):
        digest = hashlib.sha256(str(source).encode()).hexdigest()
        return Publication(name=name, source=source, uri=store.uri(name), digest=digest)
    found = find_bundle(source)
    with opened_bundle(found) as folder:
        digest = check_bundle(folder)
    return Publication(name=name, source=found, uri=store.uri(name), digest=digest)


def _is_there(store: ModelStore, one: Publication) -> bool:
    """Whether this very model has the name already. Raises UsageError when another has it."""
    found = store.find(one.name)
    if found is None:
        return False
    if found.digest == one.digest:
        return True
    raise _taken(store, one)


def _taken(store: ModelStore, one: Publication) -> UsageError:
    free = next_name(one.name, store.names())
    return UsageError(
        f"{one.uri} is another model already, and instances that have loaded it would go on with "
        f"it: a model is never replaced; publish {one.source} under a new name, e.g. {free}"
    )


def _send(account: Account, store: ModelStore, one: Publication) -> None:
    """Raises what `publish` does."""
    if isinstance(one.source, S3Uri):
        account.send(one.call, f"{one.source} cannot be copied to {one.uri}")
        return
    if one.source.is_file():
        _put(account, store, one, one.source)
        return
    with tempfile.TemporaryDirectory(prefix="kennel-model-") as folder:
        archive = Path(folder) / "model.tar.gz"
        pack_model(one.source, archive)
        _put(account, store, one, archive)


def _put(account: Account, store: ModelStore, one: Publication, archive: Path) -> None:
    """Send it, and look at what S3 has then."""
    num_bytes = archive.stat().st_size
    if num_bytes > MOST_BYTES:
        raise UsageError(f"{one.source} has {num_bytes:,} bytes packed; S3 takes {MOST_BYTES:,}")
    with archive.open("rb") as body:
        call = replace(one.call, parameters={**one.call.parameters, "Body": body})
        try:
            account.send(call, f"{one.source} cannot be uploaded to {one.uri}")
        except AwsError as error:
            # Since a moment ago: by somebody else, or by ourselves when an answer was lost.
            if error.code not in TAKEN or not _is_there(store, one):
                raise
    looked = Call(
        service="s3",
        operation="HeadObject",
        parameters={"Bucket": one.uri.bucket, "Key": one.uri.key, "ChecksumMode": "ENABLED"},
    )
    head = account.send(looked, f"{one.uri} cannot be looked up")
    there = (int(head["ContentLength"]), head.get("ChecksumSHA256", ""))
    expected = (num_bytes, _sha256(archive))
    if there[0] != expected[0] or (there[1] and there[1] != expected[1]):
        raise HostError(
            f"{one.uri} is not what was sent: {there[0]:,} bytes with SHA-256 {there[1]}, expected "
            f"{expected[0]:,} and {expected[1]}: `kennel models` removes {target_of(one.name)}"
        )


def _sha256(path: Path) -> str:
    """In base64, as S3 says it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return base64.b64encode(digest.digest()).decode()
