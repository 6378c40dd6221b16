"""`kennel data`: pack, push or check the pictures of a channel."""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

from contract.errors import UsageError
from contract.strict import nearest
from control.data.check import check_action
from control.data.pack_action import pack_action
from control.data.push_action import push_action
from control.data.trouble import KINDS, Thresholds
from control.parser import Command, Parser, add_output_format
from control.runs import RUNS

SHARD_BYTES = "256MB"
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
# Action -> the flags of its own that it takes; --show and -o belong to all.
TAKES: Mapping[str, frozenset[str]] = {
    "pack": frozenset({"shard_bytes", "restart"}),
    "push": frozenset(
        {"shard_bytes", "pack", "merge", "delete", "kms_key", "create_bucket", "yes"}
    ),
    "check": frozenset({"page", "near", "least", "most_ratio", "allow", "processes"}),
}


def data(arguments: argparse.Namespace) -> int:
    """Exit code 0: done, and nothing is wrong; 1: `check` found what spoils a training."""
    _check(arguments)
    if arguments.action == "check":
        return check_action(arguments, RUNS)
    size = _size(arguments.shard_bytes or SHARD_BYTES)
    if arguments.action == "pack":
        return pack_action(arguments, Path(arguments.dir), Path(arguments.out), size)
    return push_action(arguments, Path(arguments.dir), size)


def _check(arguments: argparse.Namespace) -> None:
    """Raises UsageError: no such action, or an argument that it does not take or lacks."""
    action = arguments.action
    if action not in TAKES:
        near = nearest(action, TAKES)
        hint = f"did you mean `kennel data {near}`?" if near else f"known: {', '.join(TAKES)}"
        raise UsageError(f"kennel data: unknown action {action!r}; {hint}")
    for name in sorted(frozenset().union(*TAKES.values()) - TAKES[action]):
        if getattr(arguments, name) not in (None, False, []):
            raise UsageError(f"kennel data {action}: takes no --{name.replace('_', '-')}")
    if action == "check" and arguments.out is not None:
        raise UsageError(f"kennel data check: takes one folder, got {arguments.out!r}, too")
    if action != "check" and arguments.out is None:
        what = "a new folder for the shards" if action == "pack" else "s3://BUCKET/PREFIX"
        raise UsageError(f"kennel data {action}: where to is missing: give {what}, too")


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
    parser.add_argument("action", metavar="|".join(TAKES), help="what to do, see above")
    parser.add_argument(
        "dir",
        metavar="DIR",
        help="class folders of pictures, or train, valid and test folders of those; of check also "
        "s3://BUCKET/PREFIX",
    )
    parser.add_argument(
        "out",
        metavar="OUT",
        nargs="?",
        help="pack: a new folder for the shards; push: s3://BUCKET/PREFIX",
    )
    parser.add_argument(
        "--shard-bytes",
        metavar="SIZE",
        help=f"pack, push --pack: of one shard at most; default {SHARD_BYTES}",
    )
    parser.add_argument(
        "--restart", action="store_true", help="pack: replace the shards of other pictures in OUT"
    )
    _add_push(parser)
    _add_check(parser)
    parser.add_argument(
        "--show",
        action="store_true",
        help="print what would be written, sent or read, and stop there",
    )
    add_output_format(parser)


def _add_push(parser: Parser) -> None:
    parser.add_argument(
        "--pack", action="store_true", help="push: pack the pictures, and send the shards"
    )
    parser.add_argument(
        "--merge",
        action="store_true",
        help="push: into a prefix that holds other things: replace what differs, keep the rest",
    )
    parser.add_argument(
        "--delete",
        action="store_true",
        help="push: the same, and remove what DIR does not have; asks before",
    )
    parser.add_argument(
        "--create-bucket",
        action="store_true",
        help="push: make the bucket if it is missing: private, encrypted, in your region",
    )
    parser.add_argument(
        "--kms-key", metavar="KEY", help="push: encrypt with this key of KMS: its id, ARN or alias"
    )
    parser.add_argument(
        "--yes", action="store_true", help="push: agree to the cost, and to --delete"
    )


def _add_check(parser: Parser) -> None:
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="check: write an HTML page with the pictures"
    )
    parser.add_argument(
        "--near",
        type=int,
        metavar="BITS",
        help="check: how unlike two pictures may be that count as one, of 128 bits; default "
        f"{Thresholds().near_bits}; 0: only the same",
    )
    parser.add_argument(
        "--least",
        type=int,
        metavar="N",
        help=f"check: pictures that a class should have; default {Thresholds().least_pictures}",
    )
    parser.add_argument(
        "--most-ratio",
        type=float,
        metavar="R",
        help="check: how many times as large as the smallest class the largest may be; default "
        f"{Thresholds().most_ratio:g}",
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="KIND",
        help="check: a kind of finding that spoils nothing here: "
        f"{', '.join(kind for kind, (is_error, _) in KINDS.items() if is_error)}; may be repeated",
    )
    parser.add_argument(
        "--processes", type=int, metavar="N", help="check: that read; default one a processor"
    )


DATA = Command(
    name="data",
    help="pack the pictures of a channel, push them into S3, or check them",
    description=(
        "Make pictures ready for training.\n"
        "  pack    put them into a few tar files that training reads in place, as channels: the\n"
        "          same job as from the folder, without a file to open or download for each\n"
        "  push    send a folder into S3: what is there already is not sent again, large files\n"
        "          go in parts, and a new listing is compared in the end\n"
        "  check   find copies across splits, damaged pictures, empty and uneven classes\n"
        "A pack or a push that was stopped or killed continues with the same command.\n"
        "Exit codes: 0 fine, 1 failed, or check found what spoils a training, 2 impossible."
    ),
    examples=(
        "kennel data pack pictures packed",
        "kennel data pack pictures packed --shard-bytes 1GB --show",
        "kennel data check pictures --page check.html",
        "kennel data check s3://my-bucket/dogs --allow leak -o json",
        "kennel data push pictures s3://my-bucket/dogs --create-bucket",
        "kennel data push pictures s3://my-bucket/dogs --pack --show",
    ),
    add_arguments=_add_arguments,
    run=data,
)
