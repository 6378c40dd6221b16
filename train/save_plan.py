"""When a run saves tensors, in the words of debughookconfig.json, and what `auto` means there.

smdebug knows numbers only. `auto` becomes one from the steps that are planned, and a larger one
where saving takes too much of the job's time.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.hook_config import READY_REGEXES, HookConfig

log = logging.getLogger(__name__)

AUTO = "auto"
POINTS = 50  # that `auto` leaves of a run's training steps, about
# These cost next to nothing, and most rules look at them: their share is their own.
LIGHT = frozenset({"losses", "metrics", "sm_metrics"})
# Of the time since the job began, by mode and whether it is light: training steps leave some of it
# to evaluations, which are few. A fifth of what saving may take in all is kept for what no clock
# of ours sees: memory that grows, caches that are cold afterwards.
MOST_SHARE = 0.05
TIME_SHARE = {
    ("train", False): 0.025,
    ("eval", False): 0.032,
    ("train", True): 0.006,
    ("eval", True): 0.008,
}
# Free whatever share that is, by whether it is light: runs of seconds keep their points, and
# which those are does not depend on what else the machine does.
FREE_SECONDS = {False: 0.8, True: 0.2}
_MODES = ("train", "eval", "predict", "global")
_BOOLEANS = ("save_raw_tensor", "save_shape")  # smdebug takes text for neither
_COUNTS = {"save_interval": 1, "start_step": 0, "end_step": 0}  # and their least values


def auto_interval(planned_steps: int) -> int:
    """Steps from one saved training step to the next."""
    return max(1, round(planned_steps / POINTS))


def smdebug_config(hook: HookConfig, folder: Path, planned_steps: int) -> dict[str, Any]:
    """What smdebug reads: numbers for `auto`, regexes for names that everybody knows.

    Raises ValueError: a number is none.
    """
    collections = []
    for one in hook.collections:
        given = dict(one.parameters)
        if one.name in READY_REGEXES:
            given.setdefault("include_regex", READY_REGEXES[one.name])
        parameters = _parameters(given, one.name, planned_steps)
        collections.append({"CollectionName": one.name, "CollectionParameters": parameters})
    return {
        "LocalPath": str(folder),
        "HookParameters": _parameters(hook.parameters, "HookParameters", planned_steps),
        "CollectionConfigurations": collections,
    }


def is_auto(hook: HookConfig, collection: str, mode: str) -> bool:
    """Whether this collection's interval in a mode (`train`, `eval`) is `auto`.

    As smdebug has it, a collection's plain interval stands above the hook's for one mode.
    """
    own = [one.parameters for one in hook.collections if one.name == collection][-1:]
    for parameters in (*own, hook.parameters):
        for key in (f"{mode}.save_interval", "save_interval"):
            if key in parameters:
                return _says_auto(parameters[key])
    return False


def _says_auto(text: str) -> bool:
    return text.strip().lower() == AUTO


def _parameters(given: Mapping[str, str], where: str, planned_steps: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, text in given.items():
        if key in _BOOLEANS:
            found[key] = text.strip().lower() == "true"
        elif not _says_auto(text):
            _check(key, text, where)
            found[key] = text
    numbers = {"train": auto_interval(planned_steps), "eval": 1}
    for mode in _MODES:
        key = f"{mode}.save_interval"
        plain = given.get("save_interval", "") if key not in given else given[key]
        if _says_auto(plain):
            found[key] = str(numbers.get(mode, 1))
    return found


def _check(key: str, text: str, where: str) -> None:
    mode, _, name = key.rpartition(".")
    if name in _COUNTS and mode in ("", *_MODES):
        least = _COUNTS[name]
        if not text.strip().isdigit() or int(text) < least:
            also = " or auto" if name == "save_interval" else ""
            raise ValueError(f"{where}: {key}: expected a number >= {least}{also}, got {text!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When smdebug saves: the listed steps, and besides them every so many from start to end."""

    interval: int
    start: int = 0
    end: int | None = None  # the first step that is not saved any more
    steps: tuple[int, ...] = ()

    def next(self, step: int) -> int | None:
        """The first that is saved from `step` on."""
        grid = -(-max(step, self.start) // self.interval) * self.interval
        is_inside = self.end is None or grid < self.end
        listed = [one for one in self.steps if one >= step]
        return min([*listed, *([grid] if is_inside else [])], default=None)

    def count(self, total: int) -> int:
        """How many of `total` steps."""
        end = total if self.end is None else min(self.end, total)
        first = -(-self.start // self.interval) * self.interval  # not before the start
        on_grid = max(0, -(-(end - first) // self.interval))
        return on_grid + sum(
            not (self.start <= step < end and step % self.interval == 0)
            for step in set(self.steps)
            if 0 <= step < total
        )


@dataclass(kw_only=True)
class _Pace:
    """How often `auto` saves in one mode."""

    interval: int
    seconds: float = 0.0  # that its saves took
    saves: int = 0


class AutoPace:
    """The intervals of `auto`: as planned while saving costs little time, then twice as long.

    A series stays even, because all of its steps are multiples of the interval that holds; and
    two runs save the same steps unless one of them has to save time.
    """

    def __init__(self, planned_steps: int, started: float, *, is_limited: bool = True) -> None:
        """`started`: of the job, by perf_counter. Not limited: as planned, whatever it costs."""
        self._started, self._is_limited = started, is_limited
        first = {"train": auto_interval(planned_steps), "eval": 1}
        self._paces = {key: _Pace(interval=first[key[0]]) for key in TIME_SHARE}

    def interval(self, mode: str, *, is_light: bool) -> int:
        """That holds for now."""
        return self._paces[mode, is_light].interval

    def interval_at(self, mode: str, step: int, *, is_light: bool = False) -> int:
        """The interval that holds at `step`; one that leaves the step out when it costs too much.

        The first step of each kind is always saved: nobody knows yet what that costs.
        """
        pace = self._paces[mode, is_light]
        if step % pace.interval or not pace.saves or self._affords((mode, is_light)):
            return pace.interval
        pace.interval *= 2
        log.info(
            "tensors: every %d %s from now on for %s: more would take too much of the time",
            pace.interval, "steps" if mode == "train" else "evaluations",
            "losses" if is_light else "all but losses",
        )  # fmt: skip
        return step + 1

    def took(self, mode: str, seconds: float, *, is_light: bool = False) -> None:
        """A step was saved."""
        pace = self._paces[mode, is_light]
        pace.seconds, pace.saves = pace.seconds + seconds, pace.saves + 1

    def _affords(self, key: tuple[str, bool]) -> bool:
        if not self._is_limited:
            return True
        pace = self._paces[key]
        _, is_light = key
        spent = sum(self._paces[mode, is_light].seconds for mode in ("train", "eval"))
        allowed = TIME_SHARE[key] * (time.perf_counter() - self._started)
        return spent + pace.seconds / pace.saves <= max(FREE_SECONDS[is_light], allowed)
