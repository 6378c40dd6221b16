"""Whether a process that waits for data waits for a disk or a network."""

import numpy as np

from debugger.profile.facts import Facts
from debugger.profile.loading import Loading
from debugger.profile.parameters import IoBottleneck
from debugger.profile.samples import seconds_in

_MOST = 50.0  # percent of the time that it waits


def io_percent(facts: Facts, one: Loading, parameters: IoBottleneck) -> float | None:
    """Of the time that it waits for data: how much has a core above `io_threshold` in I/O wait.

    None: the host's agent did not look.
    """
    highest = facts.io_wait.get(one.steps.host)
    if highest is None:
        return None
    weights = seconds_in(highest.times, one.waiting)
    if not weights.sum() > 0:
        return None
    return float(100.0 * np.average(highest.values > parameters.io_threshold, weights=weights))


def waits_for_io(facts: Facts, one: Loading, parameters: IoBottleneck) -> bool:
    """For more than half of its waiting."""
    percent = io_percent(facts, one, parameters)
    return percent is not None and percent > _MOST
