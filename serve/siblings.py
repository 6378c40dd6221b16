"""Siblings: the metric pages of all processes of one server, so that any of them can show all.

Each process writes its page to a file of its own every second. Whoever is asked joins them; each
sample then says which process it is from.
"""

import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from contract.errors import HostError
from contract.files import replacing

if TYPE_CHECKING:
    from prometheus_client.core import Metric

log = logging.getLogger(__name__)

SUFFIX = ".prom"


class Siblings:
    """The files of this server's processes; gunicorn's main process is the parent of all."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(memory_dir(), f"kennel-metrics-{os.getppid()}")
        self._own = self._folder / f"{os.getpid()}{SUFFIX}"
        self._is_usable = True

    def publish(self, page: bytes) -> None:
        """Put this process's page where the others find it."""
        if not self._is_usable:
            return
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if self._folder.stat().st_uid != os.geteuid():
                raise HostError(f"{self._folder} belongs to another user")
            with replacing(self._own) as temporary:
                temporary.write_bytes(page)
        except (OSError, HostError) as error:
            self._is_usable = False
            log.warning("/metrics shows one process only: %s", error)

    def merge(self, page: bytes) -> bytes:
        """`page` of this process and the last of every other that lives, as one page."""
        pages = {str(os.getpid()): page.decode()}
        for path in self._folder.glob(f"[0-9]*{SUFFIX}") if self._is_usable else ():
            if path == self._own:
                continue
            if not _is_sibling(path.stem):
                path.unlink(missing_ok=True)
                continue
            with suppress(OSError):  # it has just ended
                pages[path.stem] = path.read_text()
        return joined(pages)

    def leave(self) -> None:
        """This process ends: nobody shall show its numbers as those of a living one."""
        with suppress(OSError):
            self._own.unlink(missing_ok=True)
            self._folder.rmdir()  # fails while another process has its page there


def joined(pages: Mapping[str, str]) -> bytes:
    """Pages by process as one page, in which every sample has the label `process`."""
    from prometheus_client import generate_latest
    from prometheus_client.core import Metric
    from prometheus_client.parser import text_string_to_metric_families

    families: dict[str, Metric] = {}
    for process, text in sorted(pages.items()):
        for family in text_string_to_metric_families(text):
            fresh = Metric(family.name, family.documentation, family.type)
            kept = families.setdefault(family.name, fresh)
            for sample in family.samples:
                kept.add_sample(sample.name, {**sample.labels, "process": process}, sample.value)
    return generate_latest(_Collected(families.values()))


class _Collected:
    """What prometheus_client asks for metrics."""

    def __init__(self, metrics: "Iterable[Metric]") -> None:
        self._metrics = metrics

    def collect(self) -> "Iterable[Metric]":
        """Called by prometheus_client."""
        return self._metrics


def memory_dir() -> str:
    """Where small files cost no disk, if there is such a place."""
    shared = "/dev/shm"
    return shared if os.access(shared, os.W_OK | os.X_OK) else tempfile.gettempdir()


def _is_sibling(process: str) -> bool:
    """True for a living process with our parent: the number may be somebody else's by now."""
    try:
        status = Path("/proc", process, "stat").read_text()
    except OSError:
        return False
    # After the name, which is in brackets and may hold anything: state, parent, ...
    return status.rpartition(")")[2].split()[1] == str(os.getppid())
