"""TensorFolder: where saved tensors lie, as smdebug's readers expect it, and whose they are.

Source of the layout: smdebug 1.0.34's source. Step numbers in file names are those over all modes.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from contract.hook_config import END_NAME, FAILED_NAME

_CLAIM_NAME = "claim.smd"  # by which smdebug's own hook keeps others out; ours leaves none
_STEP_FILE = re.compile(r"(\d+)_worker_(\d+)\.(tfevents|json)(\.tmp)?")
_COLLECTIONS_FILE = re.compile(r"worker_(\d+)_collections\.json(\.tmp)?")


class TensorFolder:
    """The files of one process, and the marks of all."""

    def __init__(self, path: Path, *, rank: int, num_workers: int, is_first: bool) -> None:
        """`num_workers`: processes that save. `is_first`: of those that save here."""
        self.path, self.worker = path, f"worker_{rank}"
        self._rank, self._num_workers, self._is_first = rank, num_workers, is_first

    def event_path(self, step: int) -> Path:
        """The tensors of one step."""
        return self.path / "events" / f"{step:012d}" / f"{step:012d}_{self.worker}.tfevents"

    def index_path(self, step: int) -> Path:
        """Where in that file each tensor is."""
        return self.path / "index" / f"{step // 1000:09d}" / f"{step:012d}_{self.worker}.json"

    @property
    def collections_path(self) -> Path:
        """Which collections there are, and what is in them."""
        return self.path / "collections" / f"{0:09d}" / f"{self.worker}_collections.json"

    def begin_at(self, step: int) -> int:
        """Leave only what this run saved before `step`; returns how many steps' files went.

        From 0 on that is nothing: whatever lies here belongs to another run. Other processes do
        the same with their files at the same time, so nobody touches theirs. Raises OSError.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        removed = set()
        for path, number in self._our_step_files():
            if number >= step or path.suffix == ".tmp":
                path.unlink(missing_ok=True)
                removed.add(number)
        if self._is_first:
            for name in (END_NAME, FAILED_NAME, _CLAIM_NAME):
                (self.path / name).unlink(missing_ok=True)
        if step == 0:
            self._remove_collections()
            if self._num_workers == 1:
                shutil.rmtree(self.path / "tensorboard", ignore_errors=True)
        if self._num_workers == 1:  # others may be about to write into an empty folder
            self._remove_empty_folders()
        return len(removed)

    def end(self) -> None:
        """The mark that no more follows."""
        write_small(self.path / END_NAME, "")

    def fail(self, reason: str) -> None:
        """The mark that saving ended early, and why."""
        write_small(self.path / FAILED_NAME, f"{self.worker}: {reason}\n")

    def _our_step_files(self) -> Iterator[tuple[Path, int]]:
        for path in [*self.path.glob("events/*/*"), *self.path.glob("index/*/*")]:
            found = _STEP_FILE.fullmatch(path.name)
            if found and self._is_ours(int(found[2])):
                yield path, int(found[1])

    def _is_ours(self, rank: int) -> bool:
        """Of this process, or of one that only an earlier, larger run had."""
        return rank == self._rank or (self._is_first and rank >= self._num_workers)

    def _remove_collections(self) -> None:
        for path in self.path.glob("collections/*/*"):
            found = _COLLECTIONS_FILE.fullmatch(path.name)
            if found and self._is_ours(int(found[1])):
                path.unlink(missing_ok=True)

    def _remove_empty_folders(self) -> None:
        for folder in [*self.path.glob("events/*"), *self.path.glob("index/*")]:
            with suppress(OSError):  # not empty, or no folder
                folder.rmdir()


def write_small(path: Path, text: str) -> None:
    """A small file, whole or not at all; not synced: a step of training must not wait for it.

    Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
