"""`kennel data push`: what is typed, and what is said."""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contract.errors import UsageError
from control.aws.account import Account
from control.aws.call import Call, calls_json
from control.data.compare import THREADS
from control.data.push import (
    Options,
    Pushed,
    cost_line,
    new_bucket_calls,
    num_requests,
    packed,
    push,
    size_text,
    storage_usd_a_month,
)
from control.data.push_calls import example_calls
from control.data.push_plan import MANIFEST, PushPlan, plan_push, planned_pack
from control.pack_plan import plan_pack
from control.s3 import S3Uri
from control.terminal import duration, say, say_json

_SHOWN_CLASSES = 5


def push_action(arguments: argparse.Namespace, folder: Path, shard_bytes: int) -> int:
    """Exit code 0: everything is there, and was listed."""
    uri = S3Uri.parse(arguments.out).folder()
    _check(arguments, folder)
    options = Options(
        merge=arguments.merge,
        delete=arguments.delete,
        create_bucket=arguments.create_bucket,
        kms_key=arguments.kms_key or "",
        is_yes=arguments.yes,
    )
    account = Account(connections=THREADS)
    if arguments.show:
        plan = (
            planned_pack(folder, uri, plan_pack(folder, shard_bytes))
            if arguments.pack
            else plan_push(folder, uri)
        )
        _show(arguments, account, plan, options)
        return 0
    with _plan(arguments, folder, uri, shard_bytes) as plan:
        pushed = push(account, plan, options)
    if arguments.output == "json":
        say_json(_facts(pushed))
    else:
        _say(pushed)
    return 0


def channel_lines(plan: PushPlan) -> list[str]:
    """What a job's TOML needs to train on it."""
    if not plan.channels:
        return []
    return ["[aws.channels]", *(f'{name} = "{uri}"' for name, uri in plan.channels.items())]


@contextlib.contextmanager
def _plan(
    arguments: argparse.Namespace, folder: Path, uri: S3Uri, shard_bytes: int
) -> Iterator[PushPlan]:
    if not arguments.pack:
        yield plan_push(folder, uri)
        return
    with packed(folder, uri, plan_pack(folder, shard_bytes)) as plan:
        yield plan


def _check(arguments: argparse.Namespace, folder: Path) -> None:
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give one that holds class folders of pictures")
    if arguments.merge and arguments.delete:
        raise UsageError("--merge keeps what is there and --delete removes it: give one of them")


def _say(pushed: Pushed) -> None:
    plan = pushed.plan
    there = len(plan.items) - pushed.sent
    rate = f", {pushed.sent / pushed.seconds:,.0f} a second" if pushed.sent >= 100 else ""
    parts = [
        f"{pushed.sent:,} files ({size_text(pushed.sent_bytes)}) in "
        f"{duration(pushed.seconds)}{rate}",
        *([f"{there:,} were there already"] if there else []),
        *([f"{pushed.replaced:,} replaced others"] if pushed.replaced else []),
        *([f"{pushed.deleted:,} removed that are not here"] if pushed.deleted else []),
    ]
    say(f"pushed:  {'; '.join(parts)}")
    kept = f", and {pushed.kept:,} others that were there" if pushed.kept else ""
    say(
        f"checked: {len(plan.items):,} files, {size_text(plan.num_bytes)}, are listed in "
        f"{plan.uri} with the sizes that they have here{kept}"
    )
    _say_pictures(plan)
    say(f"counts:  {plan.uri.join(MANIFEST)}")
    if lines := channel_lines(plan):
        say("next:    put this into JOB.toml, then `kennel run JOB.toml --on aws`")
        say("\n".join(lines))
    else:
        say(f"next:    its address is {plan.uri}; nothing in it is a channel of pictures")


def _say_pictures(plan: PushPlan) -> None:
    for channel, labels in plan.pictures.items():
        if labels:
            names = ", ".join(list(labels)[:_SHOWN_CLASSES])
            more = ", ..." if len(labels) > _SHOWN_CLASSES else ""
            count = sum(labels.values())
            say(f"{channel + ':':<8} {count:,} pictures of {len(labels):,} classes: {names}{more}")
    if plan.kinds:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(plan.kinds.items()))
        say(f"others:  {kinds}")


def _show(
    arguments: argparse.Namespace, account: Account, plan: PushPlan, options: Options
) -> None:
    """Nobody is asked, not even AWS: what is there already is found out when it is sent."""
    bucket: list[Call] = []
    if options.create_bucket:
        bucket = new_bucket_calls(account, plan.uri.bucket, options.kms_key)
    calls = example_calls(plan, bucket, options.kms_key)
    if arguments.output == "json":
        say_json(
            {
                **_plan_facts(plan),
                "requests": num_requests(plan),
                "usd_a_month": round(storage_usd_a_month(plan), 4),
                "calls": calls_json(calls),
            }
        )
        return
    what = "shards" if arguments.pack else "files"
    say(
        f"{len(plan.items):,} {what} ({size_text(plan.num_bytes)}) would be sent to {plan.uri}, "
        "but for those that are there already:"
    )
    _say_pictures(plan)
    say(f"cost:    {cost_line(plan)}")
    say("one request of each kind, as AWS gets it:")
    say_json(calls_json(calls))


def _plan_facts(plan: PushPlan) -> dict[str, Any]:
    return {
        "uri": str(plan.uri),
        "files": len(plan.items),
        "bytes": plan.num_bytes,
        "packed": plan.packed,
        "pictures": {name: dict(labels) for name, labels in plan.pictures.items()},
        "other_files": dict(plan.kinds),
        "channels": dict(plan.channels),
        "manifest": str(plan.uri.join(MANIFEST)),
    }


def _facts(pushed: Pushed) -> dict[str, Any]:
    return {
        **_plan_facts(pushed.plan),
        "sent": pushed.sent,
        "sent_bytes": pushed.sent_bytes,
        "there_already": len(pushed.plan.items) - pushed.sent,
        "replaced": pushed.replaced,
        "deleted": pushed.deleted,
        "kept": pushed.kept,
        "seconds": round(pushed.seconds, 1),
    }
