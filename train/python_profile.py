"""PythonProfile: which Python functions took the time of chosen steps, by cProfile.

Source: smdebug 1.0.34's profiler.
"""

import cProfile
import logging
import time
from collections.abc import Callable

from contract.profiler_config import Window
from train.profile_place import ProfilePlace

log = logging.getLogger(__name__)

MOST_STEPS = 200  # a file each


class PythonProfile:
    """cProfile, a file a step."""

    def __init__(self, place: ProfilePlace, rank: int, window: Window) -> None:
        self._folder = place.framework / "pytorch" / "cprofile" / place.process(rank)
        options = {name.lower(): str(value).lower() for name, value in window.options.items()}
        if options.get("profilername", "cprofile") != "cprofile":
            log.warning("warning: profiler: cprofile is taken, not %s", options["profilername"])
        self._timer = _TIMERS.get(options.get("cprofiletimer", ""))
        self._profile: cProfile.Profile | None = None
        self._step, self._began_us, self._count = 0, 0.0, 0

    @property
    def is_full(self) -> bool:
        """True when no further step is looked at."""
        return self._count >= MOST_STEPS

    @property
    def must_pause(self) -> bool:
        """Never: nothing waits."""
        return False

    def begin_step(self, step: int) -> None:
        """Count calls from here on."""
        profile = cProfile.Profile(self._timer) if self._timer else cProfile.Profile()
        profile.enable()
        self._profile, self._step, self._began_us = profile, step, time.time_ns() / 1000

    def end_step(self) -> None:
        """Write what the step called. Raises OSError."""
        if self._profile is None:
            return
        profile, self._profile = self._profile, None
        profile.disable()
        step, now_us = self._step, time.time_ns() / 1000
        name = f"train-{step}-stepstart-{self._began_us:.1f}_train-{step}-stepend-{now_us:.1f}"
        path = self._folder / name / "python_stats"
        path.parent.mkdir(parents=True)
        profile.dump_stats(path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)
        self._count += 1
        if self.is_full:
            log.warning("warning: no more Python profiles are written: %d are enough", MOST_STEPS)

    def pause(self) -> None:
        """Forget a step that did not come."""
        if self._profile is not None:
            self._profile.disable()
            self._profile = None


def _off_cpu_seconds() -> float:
    return time.perf_counter() - time.process_time()


_TIMERS: dict[str, Callable[[], float]] = {
    "cpu_time": time.process_time,
    "off_cpu_time": _off_cpu_seconds,
}
