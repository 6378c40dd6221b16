"""Push: bring a folder into S3, and see that it is there."""

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contract.errors import HostError, UsageError
from control.aws.account import Account
from control.aws.call import Call
from control.aws.money import Cost, agree
from control.aws.rates import HOURS_A_MONTH, S3_GB_MONTH, S3_PUT_REQUEST, kept_per_month
from control.aws.shapes import NEW_BUCKET
from control.aws_client import AwsError
from control.data.compare import There, compare, listed_objects, md5_hex, missing_items
from control.data.push_calls import (
    FIRST_REGION,
    MOST_DELETED,
    bucket_calls,
    delete_call,
    head_bucket_call,
    part_bytes,
)
from control.data.push_plan import MANIFEST, PushPlan, plan_push
from control.data.upload import Upload
from control.pack import pack
from control.pack_plan import Item, PackPlan
from control.progress import Progress
from control.s3 import S3Object, S3Uri
from control.terminal import say

MB = 1_000_000
ASK_FROM_USD_A_MONTH = 1.0  # below, storage is said and not asked for
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a push may do beside sending what is missing."""

    merge: bool = False  # replace what differs, keep what is there beside it
    delete: bool = False  # ... and remove what is there beside it
    create_bucket: bool = False
    kms_key: str = ""  # of what is sent; empty: the bucket's own encryption
    is_yes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What came of it."""

    plan: PushPlan
    sent: int  # files
    sent_bytes: int
    replaced: int
    deleted: int
    kept: int  # others, below the same address
    seconds: float


def push(account: Account, plan: PushPlan, options: Options) -> Pushed:
    """Send what is missing, then compare a new listing. The same call continues.

    Raises UsageError: other things are there, no such bucket, nobody agrees. AwsError. HostError:
    what is listed in the end is not what was sent. DataError: a file was changed meanwhile.
    """
    started = time.monotonic()
    listed = _listed(account, plan.uri, options)
    there = _compare(account, plan, listed, options.kms_key)
    _check_others(plan, there, options)
    left = missing_items(plan, there)
    _agree(plan, left, there, options)
    _send(account, plan, left, options.kms_key)
    _send_manifest(account, plan, listed.get(MANIFEST), options.kms_key)
    deleted = _delete(account, plan.uri, there.others) if options.delete else 0
    kept = 0 if options.delete else len(there.others)
    _check_listing(plan, listed_objects(account, plan.uri), kept)
    return Pushed(
        plan=plan,
        sent=len(left),
        sent_bytes=sum(item.num_bytes for item in left),
        replaced=len(there.changed),
        deleted=deleted,
        kept=kept,
        seconds=time.monotonic() - started,
    )


@contextmanager
def packed(folder: Path, uri: S3Uri, plan: PackPlan) -> Iterator[PushPlan]:
    """The plan for shards of `folder`, which lie in a temporary folder while the block runs.

    The same pictures make the same shards, so that a push that was stopped goes on with them.
    """
    with tempfile.TemporaryDirectory(prefix="kennel-push-") as name:
        pack(folder, Path(name), plan)
        yield plan_push(Path(name), uri)


def storage_usd_a_month(plan: PushPlan) -> float:
    """List price of us-east-1, of what the address holds in the end."""
    return kept_per_month(plan.num_bytes, S3_GB_MONTH)


def cost_line(plan: PushPlan, items: int | None = None) -> str:
    """For a person; `items` are those that are sent, all by default."""
    count = num_requests(plan) if items is None else items
    return (
        f"{size_text(plan.num_bytes)} kept: {_usd(storage_usd_a_month(plan))} a month; {count:,} "
        f"requests: {_usd(count * S3_PUT_REQUEST)} once (list prices of {FIRST_REGION})"
    )


def num_requests(plan: PushPlan, items: Sequence[Item] | None = None) -> int:
    """That write, when `items` are sent; all by default."""
    chosen = plan.items if items is None else items
    parts = [-(-item.num_bytes // part_bytes(item.num_bytes)) for item in chosen]
    return sum(count + 2 if count > 1 else 1 for count in parts) + 1


def size_text(num_bytes: int) -> str:
    """`812.0 KB`, `1.2 GB`."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if num_bytes >= size:
            return f"{num_bytes / size:,.1f} {unit}"
    return f"{num_bytes:,} bytes"


def _listed(account: Account, uri: S3Uri, options: Options) -> dict[str, S3Object]:
    forbidden = f"{uri.bucket}: expected {NEW_BUCKET.expected}"
    if options.create_bucket:
        if not NEW_BUCKET.fits(uri.bucket):
            raise UsageError(f"--create-bucket: {forbidden}")
        _make_bucket(account, uri.bucket, options.kms_key)
    try:
        return listed_objects(account, uri)
    except AwsError as error:
        if error.code not in ("NoSuchBucket", "InvalidBucketName"):
            raise
        if not NEW_BUCKET.fits(uri.bucket):
            raise UsageError(f"there is no bucket {forbidden}") from None
        raise UsageError(
            f"the bucket {uri.bucket} does not exist: check its name, or add --create-bucket, "
            f"which makes it in {account.region}, private and encrypted"
        ) from None


def _make_bucket(account: Account, bucket: str, kms_key: str) -> None:
    """Unless it is there: then it stays as it is."""
    if account.find(head_bucket_call(bucket), f"the bucket {bucket}") is not None:
        return
    for call in new_bucket_calls(account, bucket, kms_key):
        account.send(call, f"the bucket {bucket} cannot be made")
    say(f"made the bucket {bucket} in {account.region}, private and encrypted", to=sys.stderr)


def new_bucket_calls(account: Account, bucket: str, kms_key: str) -> list[Call]:
    """In the account's region. Asks nobody."""
    return bucket_calls(bucket, account.region, kms_key)


def _compare(
    account: Account, plan: PushPlan, listed: Mapping[str, S3Object], kms_key: str
) -> There:
    total = sum(1 for item in plan.items if item.name in listed)
    progress = Progress(sys.stderr, total)
    there = compare(
        account, plan, listed, kms_key, lambda done: progress.show(done, "compared with S3")
    )
    progress.clear()
    return there


def _check_others(plan: PushPlan, there: There, options: Options) -> None:
    """Raises UsageError: a push would mix two things, and nobody has said that it may."""
    if options.merge or options.delete or not (there.others or there.changed):
        return
    found = []
    if there.others:
        found.append(f"{len(there.others):,} other objects ({_some(there.others)})")
    if there.changed:
        found.append(f"{len(there.changed):,} with another content ({_some(there.changed)})")
    raise UsageError(
        f"{plan.uri} holds {' and '.join(found)}: give another prefix, or --merge to replace what "
        "differs and keep the rest, or --delete to remove the rest, too"
    )


def _agree(plan: PushPlan, left: list[Item], there: There, options: Options) -> None:
    """Say the cost; ask where it is one, and before anything is removed."""
    if left:
        say(f"cost:    {cost_line(plan, num_requests(plan, left))}", to=sys.stderr)
        usd = storage_usd_a_month(plan)
        if usd >= ASK_FROM_USD_A_MONTH:
            cost = Cost(
                what=f"{size_text(plan.num_bytes)} in {plan.uri}",
                per_hour=usd / HOURS_A_MONTH,
                hours=None,
                note=f"{_usd(usd)} a month",
            )
            agree([cost], is_yes=options.is_yes, to=sys.stderr)
    if options.delete and there.others and not options.is_yes:
        count = len(there.others)
        what = f"{count:,} objects in {plan.uri} that {plan.folder} does not have"
        if not sys.stdin.isatty():
            raise UsageError(
                f"--delete would remove {what}, and nobody is here to agree: add --yes"
            )
        say(f"remove {what} ({_some(there.others)})? [y/N] ", to=sys.stderr)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UsageError("nothing was sent and nothing was removed")


def _send(account: Account, plan: PushPlan, left: list[Item], kms_key: str) -> None:
    if not left:
        return
    wanted, before = sum(item.num_bytes for item in left), len(plan.items) - len(left)
    done = plan.num_bytes - wanted
    progress = Progress(sys.stderr, -(-plan.num_bytes // MB), done // MB, unit="MB")
    upload = Upload(account, plan.folder, plan.uri, kms_key)

    def on_step(num_bytes: int, num_files: int) -> None:
        remark = f"{before + num_files:,} of {len(plan.items):,} files"
        progress.show((done + num_bytes) // MB, remark)

    try:
        upload.run(left, on_step)
    except KeyboardInterrupt:
        progress.clear()
        say(
            f"{before + upload.num_files:,} of {len(plan.items):,} files are in {plan.uri}; "
            "the same command goes on",
            to=sys.stderr,
        )
        raise
    progress.clear()


def _send_manifest(account: Account, plan: PushPlan, there: S3Object | None, kms_key: str) -> None:
    """Last of all: where it is, a push was complete."""
    data = plan.manifest()
    if there is None or there.etag != md5_hex(data) or kms_key:
        Upload(account, plan.folder, plan.uri, kms_key).put(MANIFEST, data)


def _delete(account: Account, uri: S3Uri, names: tuple[str, ...]) -> int:
    keys = [uri.join(name).key for name in names]
    for start in range(0, len(keys), MOST_DELETED):
        call = delete_call(uri.bucket, keys[start : start + MOST_DELETED])
        answer = account.send(call, f"{uri}: what is no longer here cannot be removed")
        for error in answer.get("Errors", ()):
            raise AwsError(
                f"{uri.join(error['Key'])} cannot be removed: AWS says {error.get('Code')}: "
                f"{error.get('Message', '')}",
                str(error.get("Code", "")),
            )
    return len(keys)


def _check_listing(plan: PushPlan, listed: Mapping[str, S3Object], kept: int) -> None:
    """Raises HostError: names or sizes are not those that were sent."""
    wrong = [
        item.name
        for item in plan.items
        if item.name not in listed or listed[item.name].num_bytes != item.num_bytes
    ]
    planned = {item.name for item in plan.items} | {MANIFEST}
    others = sum(name not in planned for name in listed)
    if wrong:
        raise HostError(
            f"{len(wrong):,} of {len(plan.items):,} files are not listed in {plan.uri} as they are "
            f"here ({_some(wrong)}): somebody else writes there; type the same command again"
        )
    if others > kept:
        raise HostError(
            f"{others - kept:,} objects came into {plan.uri} meanwhile, not from here: "
            "somebody else writes there"
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _usd(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 0.005 or not amount else "less than $0.01"
