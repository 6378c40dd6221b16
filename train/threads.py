"""How long torch's threads spin before they sleep, set before torch is loaded."""

import os
from collections.abc import MutableMapping

# libgomp's threads spin for 300,000 rounds at every barrier. On a machine of their own that buys
# nothing measurable here; beside any other work on two CPUs it made training 5 to 10 times slower,
# because a spinning thread keeps the one that it waits for off the CPU.
SPIN_COUNT = "1000"


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set GOMP_SPINCOUNT unless the user has decided. Only works before torch is imported."""
    if "OMP_WAIT_POLICY" not in environment and "GOMP_SPINCOUNT" not in environment:
        environment["GOMP_SPINCOUNT"] = SPIN_COUNT
