"""OperatorWindows: the steps, or the times, for which a job asked to be looked at closely."""

import time
from typing import Protocol

from contract.profiler_config import Window
from train.contained import Contained


class Lens(Protocol):
    """One way of looking closely."""

    @property
    def is_full(self) -> bool:
        """It will not look any more."""
        ...

    @property
    def must_pause(self) -> bool:
        """After this step."""
        ...

    def begin_step(self, step: int) -> None:
        """Look."""
        ...

    def end_step(self) -> None:
        """The step is over; the next may follow at once."""
        ...

    def pause(self) -> None:
        """Write what was seen. A step that has begun and not ended did not come."""
        ...


class OperatorWindows:
    """Tells each lens when to look. An error of one ends it, not the job.

    Of the windows of a configuration DATALOADER has none: when data is loaded is always recorded.
    """

    def __init__(self, lenses: list[tuple[Window, Lens]]) -> None:
        self._looks = [_Look(window, lens) for window, lens in lenses]

    @property
    def are_there(self) -> bool:
        """False: nobody asked for any."""
        return bool(self._looks)

    def begin_step(self, step: int) -> None:
        """Before the wait for a step's batch."""
        for look in self._looks:
            look.begin_step(step)

    def end_step(self, step: int) -> None:
        """After a step's update."""
        for look in self._looks:
            look.end_step(step)

    def pause(self) -> None:
        """No step follows for a while: an epoch is over."""
        for look in self._looks:
            look.pause()


class _Look:
    def __init__(self, window: Window, lens: Lens) -> None:
        self._window, self._lens = window, lens
        self._contained = Contained("operator profiling")
        self._is_looking = False

    def begin_step(self, step: int) -> None:
        if self._has(step) and not self._lens.is_full:
            self._is_looking = True
            self._contained.run(lambda: self._lens.begin_step(step), None)

    def end_step(self, step: int) -> None:
        if not self._is_looking:
            return
        self._contained.run(self._lens.end_step, None)
        if self._lens.must_pause or self._lens.is_full or not self._has(step + 1):
            self.pause()

    def pause(self) -> None:
        if self._is_looking:
            self._is_looking = False
            self._contained.run(self._lens.pause, None)

    def _has(self, step: int) -> bool:
        return self._window.has_step(step) or self._window.has_time(time.time())
