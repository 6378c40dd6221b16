"""`kennel data pack`: the pictures of a channel in a few large files."""

import argparse
import re
import shlex
import time
from pathlib import Path
from typing import Any

from contract.errors import UsageError
from contract.job import channel_name
from control.pack import pack
from control.pack_plan import PackPlan, plan_pack
from control.parser import Command, Parser, add_output_format
from control.terminal import duration, say, say_json

ACTIONS = ("pack",)
SHARD_BYTES = "256MB"
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def data(arguments: argparse.Namespace) -> int:
    """Exit code 0: all shards are there."""
    folder, out = arguments.dir, arguments.out
    _check(folder, out)
    plan = plan_pack(folder, _size(arguments.shard_bytes))
    if arguments.show:
        _show(arguments, plan)
        return 0
    started = time.monotonic()
    pack(folder, out, plan, restart=arguments.restart)
    seconds = time.monotonic() - started
    if arguments.output == "json":
        say_json({**_facts(out, plan), "seconds": round(seconds, 1)})
        return 0
    rate = f", {plan.num_pictures / seconds:,.0f} a second" if seconds > 1 else ""
    say(f"{_summary(plan)}: {duration(seconds)}{rate}")
    say(f"folder:  {out}")
    say(f"next:    {next_command(out, plan)}")
    return 0


def next_command(out: Path, plan: PackPlan) -> str:
    """What to type to train on it."""
    channels = {channel_name(group.lower()): out / group for group in plan.groups if group}
    channels = channels if "train" in channels else {"train": out}
    words = [f"--channel {name}={shlex.quote(str(path))}" for name, path in channels.items()]
    return " ".join(["kennel run JOB.toml", *sorted(words)])


def _facts(out: Path, plan: PackPlan) -> dict[str, Any]:
    return {
        "folder": str(out),
        "pictures": plan.num_pictures,
        "bytes": plan.num_bytes,
        "shards": [str(out / shard.name) for shard in plan.shards],
        "left_out": dict(plan.left_out),
        "next": next_command(out, plan),
    }


def _show(arguments: argparse.Namespace, plan: PackPlan) -> None:
    if arguments.output == "json":
        say_json(_facts(arguments.out, plan))
        return
    say(f"{_summary(plan)} would be written:")
    for shard in plan.shards:
        size = sum(item.num_bytes for item in shard.items)
        say(f"{arguments.out / shard.name}  {len(shard.items):,} pictures, {size / 1e6:,.1f} MB")


def _summary(plan: PackPlan) -> str:
    count = len(plan.shards)
    text = f"{plan.num_pictures:,} pictures ({plan.num_bytes / 1e6:,.1f} MB) in {count:,} shard"
    others = ", ".join(f"{number:,} {kind}" for kind, number in plan.left_out.most_common(5))
    return text + "s" * (count != 1) + (f"; left out by name: {others}" if others else "")


def _check(folder: Path, out: Path) -> None:
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give one that holds class folders of pictures")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: give the shards a folder")
    if out.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{out} lies in {folder}: give the shards a folder outside of it")


def _size(text: str) -> int:
    """Bytes of `256MB`. Raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?b?)", text.strip().lower())
    unit = match[2] if match else None
    unit = f"{unit}b" if unit in ("k", "m", "g") else unit
    size = int(float(match[1]) * _UNITS[unit]) if match and unit is not None else 0
    if size < 1:
        raise UsageError(f"--shard-bytes: expected e.g. 256MB or 1GB, got {text!r}")
    return size


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("action", choices=ACTIONS, help="what to do")
    parser.add_argument(
        "dir",
        metavar="DIR",
        type=Path,
        help="class folders of pictures, or train, valid and test folders of those",
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="a new folder for the shards")
    parser.add_argument(
        "--shard-bytes",
        default=SHARD_BYTES,
        metavar="SIZE",
        help=f"of one shard at most; default {SHARD_BYTES}",
    )
    parser.add_argument(
        "--restart", action="store_true", help="replace the shards of other pictures in OUT"
    )
    parser.add_argument(
        "--show", action="store_true", help="print what would be written, and stop there"
    )
    add_output_format(parser)


DATA = Command(
    name="data",
    help="pack the pictures of a channel into a few large files",
    description=(
        "Pack a folder of pictures into tar files that training reads in place, as channels: the\n"
        "same job as from the folder, without a file to open, list or download for every picture.\n"
        "A pack that was stopped or killed continues with the same command."
    ),
    examples=(
        "kennel data pack pictures packed",
        "kennel data pack pictures packed --shard-bytes 1GB --show",
    ),
    add_arguments=_add_arguments,
    run=data,
)
