"""batch-size auto: the number that it stands for, decided before training begins.

A frozen trunk: a rule by the number of pictures, since a step of the head costs next to nothing.
Fine-tuning: steps of several sizes are tried on a copy of the network; what they took is kept in
the cache for a day, for the next trial of a study that has as much memory. In both cases an epoch
keeps enough steps to learn from, and of sizes that are about as fast the smallest is taken.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from classifier.gpu import find_gpu
from contract.host import chip_name
from train.batch_trial import BatchTrial
from train.cache import Cache, digest_of
from train.checkpoint import CHECKPOINT_NAME
from train.data import JobData
from train.device import Device
from train.frozen import SPEED_SECONDS
from train.group import Group
from train.room import Room
from train.start import Start
from train.trunk_cache import versions_of
from train.world import World

log = logging.getLogger(__name__)

MIN_STEPS = 20  # an epoch; with fewer, a few epochs hardly move the weights
SMALLEST = 8
LEAST = 2  # where SMALLEST does not fit; batch norm cannot learn from a single picture
LARGEST_HEAD = 256
_LARGEST = {"cpu": 64, "cuda": 1024}  # pictures of one process: nothing gets faster beyond
_NAME = digest_of(b"tried")
_AS_FAST = 0.95  # of the fastest: not worth a larger batch
_TRIAL_SECONDS = {"cpu": 20.0, "cuda": 60.0}  # on a CPU a single step may take many


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What steps of one size took."""

    size: int  # pictures of this process
    images_per_second: float


def decide_batch_size(
    start: Start,
    data: JobData,
    device: Device,
    group: Group,
    checkpoint_dir: Path | None,
    *,
    cache: Cache | None = None,
) -> Start:
    """`start` with a number for batch-size; unchanged when it has one.

    All processes take the leader's number. A run that continues takes its checkpoint's.

    `cache`: None for the one that the environment names. Raises HostError: it names none rightly.
    """
    if start.values.batch_size:
        return start
    number, why = 0, ""
    if group.is_leader:
        number, why = _of_checkpoint(checkpoint_dir), "as the checkpoint has it"
        if not number:
            number, why = _decide(start, data, device, group.world, cache or Cache.of())
        log.info("batch  %d: %s", number, why)
    number = group.share(number)
    return replace(start, values=replace(start.values, batch_size=number))


def _decide(
    start: Start, data: JobData, device: Device, world: World, cache: Cache
) -> tuple[int, str]:
    count, processes = len(data.train), world.size
    most = _LARGEST[device.torch.type] * processes
    if start.values.unfreeze == "none":
        number = by_pictures(count, LARGEST_HEAD)
        return number, f"by rule; {_steps(count, number)} of {count:,} pictures"
    largest = max(LEAST, by_pictures(count, most) // processes)
    room = Room.of(device, processes=world.local_size)
    trials = Trials(cache, _key(start, len(data.labels), device, largest, room))
    known = trials.get(room)
    if known is not None:
        return _explain(known[0], processes, count, f" (measured {ago(known[1])})")
    with BatchTrial(start, len(data.labels), device, room) as trial:
        limit = _TRIAL_SECONDS[device.torch.type]
        tried = try_sizes(trial.images_per_second, largest, limit)
    trials.put(tried, room)
    return _explain(tried, processes, count)


class Trials:
    """What steps took, kept over jobs, not for long: others may have been busy."""

    def __init__(
        self, cache: Cache, key: Mapping[str, Any], now: Callable[[], float] = time.time
    ) -> None:
        self._shelf, self._now = cache.shelf("batch-size", key), now

    def get(self, room: Room) -> tuple[list[Tried], float] | None:
        """With the seconds since; None: not measured lately, or in another room."""
        text = self._shelf.get(_NAME)
        if text is None:
            return None
        rows, at, size = json.loads(text)
        age = self._now() - at
        is_valid = 0 <= age < SPEED_SECONDS and abs(room.size - size) <= room.tolerance
        return ([Tried(**row) for row in rows], age) if is_valid else None

    def put(self, tried: Sequence[Tried], room: Room) -> None:
        """Remember it for the next job, unless nothing fitted: that may have been bad luck."""
        if tried:
            text = json.dumps([[asdict(item) for item in tried], self._now(), room.size])
            self._shelf.put(_NAME, text.encode())
            self._shelf.flush()


def ago(seconds: float) -> str:
    """`3 hours ago`."""
    hours = int(seconds // 3600)
    if not hours:
        return "less than an hour ago"
    return f"{hours} hour{'s' if hours > 1 else ''} ago"


def _key(start: Start, num_labels: int, device: Device, largest: int, room: Room) -> dict[str, Any]:
    """What the speed of a step depends on. Trials of a study shall not differ by noise in it."""
    values = start.values
    return {
        "arch": values.arch,
        "unfreeze": values.unfreeze,
        "optimizer": values.optimizer,
        "has_average": values.ema_decay > 0,
        "has_mixup": values.mixup > 0,
        "crop_px": start.preprocess.crop_px,
        "labels": num_labels,
        "largest": largest,
        "dtype": str(device.dtype),
        "chip": find_gpu().why if device.is_cuda else chip_name(),
        "threads": device.cpus,
        "sharers": room.sharers,
        **versions_of("torch", "torchvision"),
    }


def _explain(tried: list[Tried], processes: int, count: int, source: str = "") -> tuple[int, str]:
    if not tried:
        return LEAST * processes, "even a few pictures do not fit into memory"
    number = choose(tried) * processes
    rates = ", ".join(f"{item.size}: {item.images_per_second:.3g}" for item in tried)
    each = " on each of the processes" if processes > 1 else ""
    return number, f"pictures a second by size{each}{source} {rates}; {_steps(count, number)}"


def _steps(count: int, number: int) -> str:
    return f"an epoch has {max(1, count // number)} steps"


def by_pictures(count: int, largest: int) -> int:
    """The largest power of two up to `largest` that leaves MIN_STEPS steps of `count` pictures."""
    size = SMALLEST
    while size * 2 <= largest and size * 2 * MIN_STEPS <= count:
        size *= 2
    return size


def try_sizes(
    rate_of: Callable[[int], float | None], largest: int, limit_seconds: float
) -> list[Tried]:
    """Powers of two from SMALLEST to `largest` that fit, in order.

    Ends early where the next size would exceed `limit_seconds` in all. Where even SMALLEST does
    not fit, the largest smaller size that does.

    Args:
        rate_of: pictures a second in steps of a size; None: it does not fit into memory.
    """
    started, tried = time.perf_counter(), list[Tried]()
    size = min(SMALLEST, largest)
    while size <= largest and (rate := rate_of(size)) is not None:
        tried.append(Tried(size=size, images_per_second=rate))
        size *= 2
        if time.perf_counter() - started + 2 * size / rate > limit_seconds:
            break
    size = min(SMALLEST, largest) // 2
    while not tried and size >= LEAST:
        if (rate := rate_of(size)) is not None:
            tried.append(Tried(size=size, images_per_second=rate))
        size //= 2
    return tried


def choose(tried: list[Tried]) -> int:
    """The smallest size that is about as fast as the fastest."""
    best = max(item.images_per_second for item in tried)
    return min(item.size for item in tried if item.images_per_second >= _AS_FAST * best)


def _of_checkpoint(folder: Path | None) -> int:
    """The number that an interrupted run had; 0 when there is none to continue."""
    path = folder / CHECKPOINT_NAME if folder else None
    if path is None or not path.is_file():
        return 0
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError):
        return 0  # resuming will say what is wrong with it
    return int(json.loads(metadata.get("fingerprint", "{}")).get("batch_size", 0))
