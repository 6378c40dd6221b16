"""Scan: look at every picture, in as many processes as there are processors."""

import os
import signal
import sys
from collections.abc import Callable, Sequence

from contract.errors import HostError
from control.data.look import Look, look_at
from control.data.pictures import Picture
from control.leash import PARENT_DEATH_SIGNAL

ALONE = 48  # pictures that are faster looked at here than a process is started
CHUNK = 16  # pictures that a process gets at a time


def scan(
    pictures: Sequence[Picture],
    processes: int | None = None,
    on_picture: Callable[[int], None] = lambda _: None,
) -> list[Look]:
    """What each of them is, in order. `on_picture` hears how many are done.

    Raises HostError: a process died, as one does that the kernel ends when memory is short.
    """
    count = processes or _processors()
    places = [picture.place for picture in pictures]
    looks: list[Look] = []
    if count < 2 or len(places) <= ALONE:
        for place in places:
            looks.append(look_at(place))
            on_picture(len(looks))
        return looks
    import multiprocessing  # with 20 ms that other commands need not wait for
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    # Spawned, not forked: a fork of a process that has threads may stand still.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        count, mp_context=context, initializer=_begin, initargs=(os.getpid(),)
    )
    try:
        for look in pool.map(look_at, places, chunksize=CHUNK):
            looks.append(look)
            on_picture(len(looks))
    except BrokenProcessPool:
        near = pictures[min(len(looks), len(pictures) - 1)].name
        raise HostError(
            f"a process that reads pictures died, near {near}: most likely of too little memory"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return looks


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):  # what a container may use; not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _begin(owner: int) -> None:
    """In each process: Ctrl-C is its owner's, and without the owner it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != owner:
            sys.exit(1)
