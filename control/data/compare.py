"""Compare: which files of a plan S3 has already, by size and content.

The size and the ETag are in S3's listing. An ETag is the MD5 of what came in one request, or of
the MD5s of the parts, unless KMS encrypted it; then, and whenever it says something else, the
SHA-256 counts that a push writes into an object's metadata. What has neither is sent again.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from contract.errors import DataError
from control.aws.account import Account
from control.data.push_calls import SHA256, head_call, list_call, part_bytes
from control.data.push_plan import MANIFEST, PushPlan
from control.pack_plan import Item
from control.s3 import S3Object, S3Uri
from control.staging_list import is_marker

THREADS = 32  # requests under way: they wait for S3, not for the processor
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class There:
    """What an address holds already, beside a plan for it. Names are relative."""

    same: frozenset[str]
    changed: tuple[str, ...]  # under a name of the plan's, with another content
    others: tuple[str, ...]  # not in the plan

    def __bool__(self) -> bool:
        return bool(self.same or self.changed or self.others)


def compare(
    account: Account,
    plan: PushPlan,
    listed: Mapping[str, S3Object],
    kms_key: str,
    on_file: Callable[[int], None] = lambda _: None,
) -> There:
    """`listed` against the plan. Only files whose sizes agree are read.

    Raises AwsError. DataError: a file was changed or lost since it was listed.
    """
    planned = {item.name: item for item in plan.items}
    asked = [
        item
        for item in plan.items
        if item.name in listed and listed[item.name].num_bytes == item.num_bytes
    ]
    same: set[str] = set()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="compare") as pool:
        jobs = {
            pool.submit(_is_same, account, plan, item, listed[item.name], kms_key): item.name
            for item in asked
        }
        try:
            for done, job in enumerate(as_completed(jobs), 1):
                if job.result():
                    same.add(jobs[job])
                on_file(done)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return There(
        same=frozenset(same),
        changed=tuple(name for name in planned if name in listed and name not in same),
        others=tuple(name for name in listed if name not in planned and name != MANIFEST),
    )


def listed_objects(account: Account, uri: S3Uri) -> dict[str, S3Object]:
    """Relative name -> object, without the markers of folders. Raises AwsError."""
    skip = len(uri.key)
    return {
        str(item["Key"])[skip:]: S3Object(
            str(item["Key"]), int(item["Size"]), str(item["ETag"]).strip('"')
        )
        for item in account.pages(list_call(uri), "Contents", f"{uri} cannot be listed")
        if not is_marker(str(item["Key"]), skip)
    }


def _is_same(account: Account, plan: PushPlan, item: Item, there: S3Object, kms_key: str) -> bool:
    etag, sha256 = digests_of(plan.folder / item.name, item)
    if etag == there.etag and not kms_key:
        return True
    uri = S3Uri(plan.uri.bucket, there.key)
    answer = account.find(head_call(uri), f"{uri} cannot be looked up")
    if answer is None or answer.get("Metadata", {}).get(SHA256) != sha256:
        return False
    return is_encrypted(answer, kms_key)


def is_encrypted(answer: Mapping[str, object], kms_key: str) -> bool:
    """Whether HeadObject says the key that is wanted. An alias says no key: any of KMS's will do.

    AWS answers with the key's ARN, whatever it was called when the object was written.
    """
    if not kms_key:
        return True
    is_kms = answer.get("ServerSideEncryption") == "aws:kms"
    return is_kms and (
        "alias/" in kms_key or str(answer.get("SSEKMSKeyId", "")).endswith(kms_key.split("/")[-1])
    )


def digests_of(path: Path, item: Item) -> tuple[str, str]:
    """(the ETag that S3 gives it without KMS, its SHA-256), both in hex. Raises DataError."""
    size, whole = part_bytes(item.num_bytes), hashlib.sha256()
    parts: list[bytes] = []
    done = 0
    try:
        with path.open("rb") as file:
            while True:
                part, length = _md5_of_part(file, size, whole.update)
                done += length
                if not length and parts:
                    break
                parts.append(part)
                if length < size:
                    break
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if done != item.num_bytes:
        raise changed_since(path, item, done)
    if item.num_bytes <= size:
        return parts[0].hex(), whole.hexdigest()
    return f"{_md5(b''.join(parts)).hex()}-{len(parts)}", whole.hexdigest()


def changed_since(path: Path, item: Item, num_bytes: int) -> DataError:
    """The line for a file that is written to meanwhile."""
    return DataError(
        f"{path} had {item.num_bytes:,} bytes when it was listed and has {num_bytes:,} now: "
        "push when nobody writes there"
    )


def md5_base64(data: bytes) -> str:
    """As the header Content-MD5 wants it."""
    return base64.b64encode(_md5(data)).decode("ascii")


def md5_hex(data: bytes) -> str:
    """As ETags are."""
    return _md5(data).hex()


def _md5_of_part(file: BinaryIO, size: int, also: Callable[[bytes], object]) -> tuple[bytes, int]:
    digest, left = hashlib.md5(usedforsecurity=False), size
    while left and (data := file.read(min(CHUNK_BYTES, left))):
        digest.update(data)
        also(data)
        left -= len(data)
    return digest.digest(), size - left


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def missing_items(plan: PushPlan, there: There) -> list[Item]:
    """What is to be sent."""
    return [item for item in plan.items if item.name not in there.same]
