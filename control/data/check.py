"""`kennel data check`: what is wrong with the pictures of a folder or of a prefix in S3."""

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from contract.errors import UsageError
from contract.files import write_text
from contract.strict import nearest
from control.data.check_text import check_facts, check_lines
from control.data.findings import Checked, judge
from control.data.likeness import BITS, MOST_BITS, groups_of
from control.data.pictures import Gallery, find_gallery
from control.data.scan import scan
from control.data.trouble import KINDS, Thresholds
from control.progress import Progress
from control.s3 import SCHEME, S3Uri
from control.staging import staged, staged_folder
from control.terminal import say, say_json

FOUND = 1


def check_action(arguments: argparse.Namespace, runs: Path) -> int:
    """Exit code 0: nothing that spoils a training; 1: something does."""
    thresholds = thresholds_of(arguments)
    page = arguments.page
    if page is not None and page.is_dir():
        raise UsageError(f"--page: {page} is a folder: give the path of a file, e.g. check.html")
    with _folder(arguments.dir, runs) as folder:
        gallery = find_gallery(folder)
        if arguments.show:
            _show(arguments, gallery)
            return 0
        started = time.monotonic()
        checked = check(gallery, thresholds, arguments.processes)
        seconds = time.monotonic() - started
        if page is not None:
            from control.data.check_page import to_check_page

            write_text(page, to_check_page(arguments.dir, checked))
    if arguments.output == "json":
        say_json(check_facts(arguments.dir, checked, seconds, page))
    else:
        say("\n".join(check_lines(arguments.dir, checked, seconds, page)))
    return 0 if checked.is_fine else FOUND


def check(gallery: Gallery, thresholds: Thresholds, processes: int | None = None) -> Checked:
    """Read all, compare all, judge. Raises HostError."""
    total = len(gallery.pictures)
    progress = Progress(sys.stderr, total)
    looks = scan(
        gallery.pictures, processes, lambda done: progress.show(done, f"of {gallery.folder}")
    )
    progress.clear()
    return judge(gallery, looks, groups_of(looks, thresholds.near_bits), thresholds)


def thresholds_of(arguments: argparse.Namespace) -> Thresholds:
    """Raises UsageError: out of range, or a kind that does not exist."""
    bits = MOST_BITS if arguments.near is None else arguments.near
    for kind in arguments.allow:
        if kind not in KINDS:
            near = nearest(kind, KINDS)
            hint = f"did you mean {near!r}?" if near else f"known: {', '.join(KINDS)}"
            raise UsageError(f"--allow: no finding is called {kind!r}; {hint}")
    if not 0 <= bits <= BITS // 4:
        raise UsageError(f"--near: expected bits from 0 to {BITS // 4}, got {bits}")
    thresholds = Thresholds(near_bits=bits, allowed=frozenset(arguments.allow))
    if arguments.least is not None:
        thresholds = replace(thresholds, least_pictures=arguments.least)
    if arguments.most_ratio is not None:
        thresholds = replace(thresholds, most_ratio=arguments.most_ratio)
    return thresholds


@contextlib.contextmanager
def _folder(source: str, runs: Path) -> Iterator[Path]:
    """The pictures here, downloaded first when they are in S3, unchanged while the block runs."""
    if source.startswith(SCHEME):
        uri = S3Uri.parse(source)
        with staged({"train": uri}, runs):
            yield staged_folder(uri, runs)
        return
    folder = Path(source)
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give one that holds class folders of pictures")
    yield folder


def _show(arguments: argparse.Namespace, gallery: Gallery) -> None:
    counts = gallery.layout.counts(picture.name for picture in gallery.pictures)
    if arguments.output == "json":
        say_json({"folder": arguments.dir, "pictures": {k: dict(v) for k, v in counts.items()}})
        return
    say(f"{len(gallery.pictures):,} pictures of {arguments.dir} would be read:")
    for split, labels in counts.items():
        say(f"{split + ':':<8} {sum(labels.values()):,} pictures of {len(labels):,} classes")
