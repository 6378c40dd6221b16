"""`python -m benchmarks.packing`: many small files beside the shards that they are packed into.

Both are found and read by training's own code, every picture once, in one thread, in turns whose
order alternates. Dropped means that the files' data is out of the page cache; their names and
inodes stay there, so a disk that is truly cold makes single files slower than is shown here. The
opens are counted, not slowed down: where each is a request, as in FastFile mode, multiply.
"""

import argparse
import contextlib
import io
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.machine import describe_host
from benchmarks.many import write_many
from benchmarks.terminal import say, show
from control.pack import pack
from control.pack_plan import plan_pack
from train.folders import Tree
from train.shards import parts_of

SHARD_BYTES = 256_000_000  # what `kennel data pack` takes without --shard-bytes
WAYS = ("files", "shards")
STEPS = ("found", "read, dropped", "read, cached")
Read = Callable[[], bytes]
Seconds = dict[tuple[str, str], list[float]]  # (way, step) -> one a round


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when all was measured."""
    options = _parse(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        work = Path(name).resolve()
        say(f"writing {options.pictures:,} pictures")
        folders = {"files": write_many(work / "files", options.pictures), "shards": work / "shards"}
        rates, seconds = [], {(way, step): [] for way in WAYS for step in STEPS}
        for number in range(options.rounds):
            rates.append(options.pictures / _pack(*folders.values()))
            for way in WAYS[:: -1 if number % 2 else 1]:
                _measure(folders[way], way, seconds)
            told = ", ".join(f"{' '.join(key)} {each[-1]:.2f} s" for key, each in seconds.items())
            say(f"round {number + 1} of {options.rounds}: {told}")
        opens = {way: _count_opens(folders[way]) for way in WAYS}
        _check(folders)
        num_bytes = sum(len(read()) for read in find(folders["files"]))
        disk = _file_system(work)
    show(_machine(disk, options))
    for line in _table(options.pictures, num_bytes, seconds, opens):
        show(line)
    show(f"Packing: {statistics.median(rates):,.0f} pictures a second ({_range(rates, ',.0f')}).")
    return 0


def find(folder: Path) -> list[Read]:
    """How training comes to the pictures of a channel, packed or not: a reader of each."""
    tree = Tree(channel="train", root=folder)
    pictures = tree.pictures_below(folder)
    parts = parts_of("train", tree.packed.shards_of(pictures))
    return [(parts.get(str(path)) or path).read_bytes for path in pictures]


def _pack(source: Path, out: Path) -> float:
    """Seconds, of which the last go to the disk."""
    shutil.rmtree(out, ignore_errors=True)
    started = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):
        pack(source, out, plan_pack(source, SHARD_BYTES))
    return time.perf_counter() - started


def _measure(folder: Path, way: str, seconds: Seconds) -> None:
    _drop(folder)
    started = time.perf_counter()
    readers = find(folder)
    seconds[way, "found"].append(time.perf_counter() - started)
    _drop(folder)
    for step in STEPS[1:]:
        started = time.perf_counter()
        for read in readers:
            read()
        seconds[way, step].append(time.perf_counter() - started)


def _drop(folder: Path) -> None:
    """Take what the files hold out of the page cache; only what is on the disk can go."""
    os.sync()
    for path in _files(folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def _count_opens(folder: Path) -> int:
    """Of files below `folder`, to find and read all once."""
    start, opened, is_over = f"{folder}/", 0, False

    def hook(event: str, args: tuple[object, ...]) -> None:
        nonlocal opened
        if event == "open" and not is_over and str(args[0]).startswith(start):
            opened += 1

    sys.addaudithook(hook)  # it stays as long as the process does
    for read in find(folder):
        read()
    is_over = True
    return opened


def _check(folders: dict[str, Path]) -> None:
    """The same pictures in the same order, bit for bit."""
    pairs = zip(find(folders["files"]), find(folders["shards"]), strict=True)
    assert all(one() == other() for one, other in pairs)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*.*") if path.is_file())


def _table(pictures: int, num_bytes: int, seconds: Seconds, opens: dict[str, int]) -> Iterator[str]:
    """Markdown: medians, and the ratios of each round."""
    size = f"{num_bytes / pictures / 1e3:.1f} KB"
    yield f"| {pictures:,} pictures of {size} | single files | shards | files over shards |"
    yield "|---|---|---|---|"
    yield f"| files opened | {opens['files']:,} | {opens['shards']:,} | |"
    for step in STEPS:
        files, shards = (seconds[way, step] for way in WAYS)
        ratios = [one / other for one, other in zip(files, shards, strict=True)]
        middles = " | ".join(f"{statistics.median(each):.2f} s" for each in (files, shards))
        ratio = f"{statistics.median(ratios):.2f} ({_range(ratios, '.2f')})"
        yield f"| {step} | {middles} | {ratio} |"


def _range(values: Sequence[float], form: str) -> str:
    return f"{min(values):{form}} to {max(values):{form}}"


def _machine(disk: str, options: argparse.Namespace) -> str:
    host = describe_host(())
    return (
        f"{host['date']}, {host['chip']}, {host['processors']} processors, {host['memory']}, "
        f"Linux {platform.release()}, {disk}, Python {host['python']}; {options.rounds} rounds"
    )


def _file_system(folder: Path) -> str:
    """`ext4`: the type of the mount that is the longest start of the path."""
    lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    mounts = {Path(line.split()[1]): line.split()[2] for line in lines}
    return next(mounts[parent] for parent in (folder, *folder.parents) if parent in mounts)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.packing",
        description="Find and read many small files, and the same pictures packed into shards.",
    )
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument(
        "--folder", type=Path, help="on the disk that is meant; default: the temporary one"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
