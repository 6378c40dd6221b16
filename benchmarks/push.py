"""`python -m benchmarks.push`: a folder into S3, by `kennel data push` and by a plain boto3 loop.

Both send the same pictures, in turns, each into a prefix of its own, every other round in the
opposite order. A third way sends the pictures packed.
"""

import argparse
import contextlib
import io
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
from control.cli import main as kennel

LATENCY_SECONDS = 0.03
TARGET = 4.0
WAYS = ("loop", "kennel", "kennel, packed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when all was measured, whatever the bar says."""
    options = _parse(arguments)
    with tempfile.TemporaryDirectory() as name, distant_bucket(options.latency) as client:
        say(f"writing {options.pictures:,} pictures")
        folder = write_many(Path(name) / "pictures", options.pictures)
        seconds = _measure(client, folder, options.rounds)

    show(
        f"{options.pictures:,} pictures, {options.latency * 1e3:.0f} ms a request, "
        f"{options.rounds} rounds"
    )
    for way in WAYS:
        rate = options.pictures / statistics.median(seconds[way])
        each = ", ".join(f"{value:.2f}" for value in seconds[way])
        show(f"{way:16} {each} s, {rate:,.0f} pictures a second")
    for name, ours, target in (
        ("push-over-boto3-loop", "kennel", TARGET),
        ("packed-push-over-boto3-loop", "kennel, packed", TARGET),
    ):
        ratios = tuple(a / b for a, b in zip(seconds["loop"], seconds[ours], strict=True))
        value = statistics.median(ratios)
        show(Bar(name=name, value=value, target=target, values=ratios).line())
    return 0


def _measure(client: Any, folder: Path, rounds: int) -> dict[str, list[float]]:
    ways: dict[str, Callable[[str], None]] = {
        WAYS[0]: lambda prefix: boto3_loop(folder, prefix),
        WAYS[1]: lambda prefix: ours(folder, prefix),
        WAYS[2]: lambda prefix: ours(folder, prefix, "--pack"),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way in WAYS[:: -1 if number % 2 else 1]:  # who comes first has colder caches
            prefix = f"{number}-{WAYS.index(way)}"
            started = time.perf_counter()
            ways[way](prefix)
            seconds[way].append(time.perf_counter() - started)
            if "packed" not in way:
                _check(client, folder, prefix)
        told = ", ".join(f"{way} {seconds[way][-1]:.1f} s" for way in ways)
        say(f"round {number + 1} of {rounds}: {told}")
    return seconds


def boto3_loop(folder: Path, prefix: str) -> None:
    """What people write: one file after the other. It checks nothing afterwards."""
    import boto3

    s3 = boto3.client("s3")
    for path in sorted(folder.rglob("*.jpg")):
        s3.upload_file(str(path), BUCKET, f"{prefix}/{path.relative_to(folder)}")


def ours(folder: Path, prefix: str, *more: str) -> None:
    """What is typed, with the listings before and after, the checksums and the manifest."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = kennel(["data", "push", str(folder), f"s3://{BUCKET}/{prefix}", *more])
    assert code == 0


def _check(client: Any, folder: Path, prefix: str) -> None:
    """All of it, by name and size."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
    found = {
        item["Key"][len(prefix) + 1 :]: item["Size"] for page in pages for item in page["Contents"]
    }
    expected = {
        str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*.jpg")
    }
    assert {name: size for name, size in found.items() if not name.startswith(".")} == expected


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.push",
        description="Push a folder to an S3 with latency: ours beside a plain boto3 loop.",
    )
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument(
        "--latency", type=float, default=LATENCY_SECONDS, help="seconds added to each request"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
