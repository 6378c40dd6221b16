"""Finishing: the best trial becomes a bundle with its report, in a worker that is still there."""

import logging
import time
from collections.abc import Callable
from typing import Any

from contract.errors import HostError, KennelError
from train.crew import Crew
from train.orders import TrialOrder

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
_LIMIT_SECONDS = 6 * 3600.0  # a trial whose weights are elsewhere is trained again
_ATTEMPTS = 2


def finish_best(crew: Crew, order: TrialOrder, meanwhile: Callable[[], None]) -> None:
    """Leave bundle and report. The other workers end: the one that is left has all CPUs.

    `meanwhile` is called once the worker is at it.

    Raises KennelError with the reason, HostError when the worker dies twice.
    """
    reason = ""
    for _ in range(_ATTEMPTS):
        hand = next((one for one in crew.hands if one.is_ready), None)
        crew.end(but=hand)
        crew.fill(1)
        log.info("finish trial %d becomes the bundle", order.number)
        ended = _finish(crew, order, meanwhile)
        if isinstance(ended, dict):
            if ended["event"] == "finished":
                return
            error = KennelError(ended["reason"])
            error.exit_code = ended["code"]
            raise error
        reason = ended
    raise HostError(f"the best trial's bundle could not be made: {reason}")


def _finish(crew: Crew, order: TrialOrder, meanwhile: Callable[[], None]) -> dict[str, Any] | str:
    """The worker's last message, or how it died."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    hand = crew.hands[0]
    if hand.is_ready:
        hand.order(order)
    meanwhile()
    while time.monotonic() < deadline:
        for one, message in crew.hear(_POLL_SECONDS):
            if message is None:
                return crew.drop(one)
            if message["event"] == "ready":
                one.order(order)
            elif message["event"] in ("finished", "failed", "interrupted"):
                return message
    return crew.drop(hand) or "it took too long"
