"""`python -m benchmarks.staging`: a channel from S3, by our staging and by a plain boto3 loop.

The same pictures lie in the bucket as single objects and packed into shards. All four ways are
taken in turns, each into a fresh folder, every other round in the opposite order.
"""

import argparse
import contextlib
import io
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bars import Bar
from benchmarks.bucket import BUCKET, distant_bucket
from benchmarks.many import write_many
from benchmarks.terminal import say, show
from control.pack import pack
from control.pack_plan import plan_pack
from control.s3 import S3Uri
from control.staging import staged, staged_folder

LATENCY_SECONDS = 0.03
TARGET = 4.0
SHARD_BYTES = 1 << 20  # many, as a large channel has
WAYS = ("loop", "kennel", "loop, packed", "kennel, packed")
Stage = Callable[[Path], Path]  # into a fresh folder; returns where the files are


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when all was measured, whatever the bar says."""
    options = _parse(arguments)
    with tempfile.TemporaryDirectory() as name, distant_bucket(options.latency) as client:
        work = Path(name)
        plain, packed = _fill(client, work, options.pictures)
        seconds = _measure(work, (plain, packed), options.rounds)

    show(
        f"{options.pictures:,} pictures, {options.latency * 1e3:.0f} ms a request, "
        f"{options.rounds} rounds"
    )
    for way in WAYS:
        rate = options.pictures / statistics.median(seconds[way])
        each = ", ".join(f"{value:.2f}" for value in seconds[way])
        show(f"{way:16} {each} s, {rate:,.0f} pictures a second")
    for bar in _bars(seconds):
        show(bar.line())
    return 0


def _bars(seconds: dict[str, list[float]]) -> list[Bar]:
    found = []
    for name, ours, theirs, target in (
        ("staging-over-boto3-loop", "kennel", "loop", TARGET),
        ("packed-over-single-objects", "kennel, packed", "kennel", 1.0),
    ):
        pairs = zip(seconds[theirs], seconds[ours], strict=True)
        ratios = tuple(other / own for other, own in pairs)
        found.append(Bar(name=name, value=statistics.median(ratios), target=target, values=ratios))
    return found


def _fill(client: Any, work: Path, count: int) -> tuple[str, str]:
    """Two prefixes: the pictures, and their shards."""
    say(f"writing {count:,} pictures into the bucket, once as they are and once packed")
    folder, out = write_many(work / "pictures", count), work / "packed"
    with contextlib.redirect_stderr(io.StringIO()):
        pack(folder, out, plan_pack(folder, SHARD_BYTES))
    for prefix, source in (("single", folder), ("packed", out)):
        for path in sorted(source.rglob("*.*")):
            if path.is_file() and not path.name.startswith("."):
                key = f"{prefix}/{path.relative_to(source)}"
                client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
    return "single", "packed"


def _measure(work: Path, prefixes: tuple[str, str], rounds: int) -> dict[str, list[float]]:
    plain, packed = prefixes
    ways: dict[str, Stage] = {
        WAYS[0]: lambda folder: boto3_loop(plain, folder),
        WAYS[1]: lambda folder: ours(plain, folder),
        WAYS[2]: lambda folder: boto3_loop(packed, folder),
        WAYS[3]: lambda folder: ours(packed, folder),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way in WAYS[:: -1 if number % 2 else 1]:  # who comes first has colder caches
            folder = work / "fresh"
            started = time.perf_counter()
            place = ways[way](folder)
            seconds[way].append(time.perf_counter() - started)
            _check(place, work / ("packed" if "packed" in way else "pictures"))
            shutil.rmtree(folder)
        told = ", ".join(f"{way} {seconds[way][-1]:.1f} s" for way in ways)
        say(f"round {number + 1} of {rounds}: {told}")
    return seconds


def boto3_loop(prefix: str, folder: Path) -> Path:
    """What people write: list, then download one after the other."""
    import boto3

    s3 = boto3.client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/"):
        for item in page["Contents"]:
            path = folder / item["Key"][len(prefix) + 1 :]
            path.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(BUCKET, item["Key"], str(path))
    return folder


def ours(prefix: str, folder: Path) -> Path:
    """What `kennel run` does before the job."""
    uri = S3Uri(BUCKET, prefix)
    with contextlib.redirect_stderr(io.StringIO()), staged({"train": uri}, folder):
        return staged_folder(uri, folder)


def _check(found: Path, expected: Path) -> None:
    """All of it, bit for bit."""
    for path in expected.rglob("*.*"):
        if path.is_file() and not path.name.startswith("."):
            there = found / path.relative_to(expected)
            assert there.read_bytes() == path.read_bytes(), there


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.staging",
        description="Stage a channel from an S3 with latency: ours beside a plain boto3 loop.",
    )
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument(
        "--latency", type=float, default=LATENCY_SECONDS, help="seconds added to each request"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
