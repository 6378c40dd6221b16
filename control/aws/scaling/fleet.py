"""The parts of a simulated endpoint: instances that start and stop, and requests that wait."""

from collections import deque

SPECK = 1e-9  # requests: less is a rounding error of what is nothing


class Fleet:
    """Instances over time. Seconds are those of the trace."""

    def __init__(self, ready: int, startup_seconds: int) -> None:
        self.ready = self.desired = ready
        self._startup_seconds = startup_seconds
        self.ready_at = 0.0  # when the instances that start now are ready

    @property
    def is_changing(self) -> bool:
        """Some instances start: the endpoint takes no other change meanwhile."""
        return self.ready < self.desired

    def advance(self, second: float) -> None:
        """What has started is ready."""
        if self.is_changing and second >= self.ready_at:
            self.ready = self.desired

    def change(self, second: float, desired: int) -> None:
        """More start, fewer are gone at once."""
        self.ready_at = second + (self._startup_seconds if desired > self.ready else 0)
        self.desired = desired
        self.ready = min(self.ready, desired)


class WaitingRoom:
    """Requests that wait, first come, first served; parts of requests, too."""

    def __init__(self) -> None:
        self.waiting = 0.0
        self._groups: deque[tuple[float, float]] = deque()  # (second of arrival, requests)

    def add(self, second: float, requests: float) -> None:
        """They came this second."""
        if requests > 0:
            self._groups.append((second, requests))
            self.waiting += requests

    def age(self, second: float) -> float:
        """For how long the oldest has waited; 0 when none does."""
        return second - self._groups[0][0] if self._groups else 0.0

    def take(self, second: float, requests: float, late_seconds: float) -> tuple[float, float]:
        """(those that had waited for longer than `late_seconds`, the longest wait) of the oldest.

        `requests` are at most those that wait.
        """
        late = longest = 0.0
        left = requests
        while self._groups and left > SPECK:
            came, size = self._groups.popleft()
            taken = min(size, left)
            longest = max(longest, second - came)
            if second - came > late_seconds:
                late += taken
            left -= taken
            if size - taken > SPECK:
                self._groups.appendleft((came, size - taken))
        self.waiting = max(0.0, self.waiting - requests) if self._groups else 0.0
        return late, longest
