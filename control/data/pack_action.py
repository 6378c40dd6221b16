"""`kennel data pack`: what is typed, and what is said."""

import argparse
import shlex
import time
from pathlib import Path
from typing import Any

from contract.errors import UsageError
from contract.job import channel_name
from control.pack import pack
from control.pack_plan import PackPlan, plan_pack
from control.terminal import duration, say, say_json


def pack_action(arguments: argparse.Namespace, folder: Path, out: Path, shard_bytes: int) -> int:
    """Exit code 0: all shards are there."""
    _check(folder, out)
    plan = plan_pack(folder, shard_bytes)
    if arguments.show:
        _show(arguments, out, plan)
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


def _show(arguments: argparse.Namespace, out: Path, plan: PackPlan) -> None:
    if arguments.output == "json":
        say_json(_facts(out, plan))
        return
    say(f"{_summary(plan)} would be written:")
    for shard in plan.shards:
        size = sum(item.num_bytes for item in shard.items)
        say(f"{out / shard.name}  {len(shard.items):,} pictures, {size / 1e6:,.1f} MB")


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
